import Glibc
import LogFormat

@testable import CommitLog
@testable import LogStore

/// One run of the real store on a simulated machine, all of it drawn from one seed: generations of starts, appends and
/// ends, of which many are crashes, and after each start the comparison with what was acknowledged; in the end, in some
/// runs, damage.
final class Simulation {
    var seed: Seed
    let workload: Workload
    let maintenance: Coroutine
    let disk: SimulatedDisk
    let clock: SimulatedClock
    var history: History
    var store: LogStore?
    private var events = LoopEvents()
    var requestCount = 0
    /// Requests that can be sent again, the last ones and some old ones.
    var sent: [Request] = []
    var wasStoppedCleanly = false
    /// The last batch that was durable in any process, and where it lies if it was reported.
    var lastDurable = BatchNumber.zero
    var lastBatch: DurableBatch?
    /// When the store's upkeep wants its next turn.
    private var maintenanceWait: Int64?
    /// The newest checkpoint that was reported to be in place.
    var newestCheckpoint = ""
    var lastMachine: Machine?
    /// The disk has broken a promise: a read may say so.
    var isDamaged = false
    var tally = Tally()

    init(seed value: UInt64) {
        seed = Seed(value)
        workload = Workload(&seed)
        maintenance = Coroutine(seed: value)
        disk = SimulatedDisk(&seed, maintenance)
        clock = SimulatedClock(&seed)
        history = History(
            nameCount: workload.logCount, keepsLast: workload.endsInDamage, identities: workload.identities)
    }

    func run() throws {
        defer {
            // Also behind a failure nothing stays under way.
            disk.die()
            store = nil
            maintenance.stop()
        }
        for _ in 0..<workload.generationCount {
            try start()
            // What a start has shown, a crash right behind it does not take back.
            if seed.once(in: 4) {
                crash()
                try start()
            }
            disk.callsUntilDeath = workload.callsUntilDeath(&seed)
            disk.diesBehindNames = seed.once(in: 2)
            disk.faultRate = workload.faultRate
            try work()
            try end()
        }
        if workload.endsInDamage {
            try endInDamage()
        } else {
            try start()
            crash()
            try start()
        }
        tally[.acknowledged] = history.acknowledgedCount
        tally[.shortReads] = disk.shortReadCount
    }

    // MARK: Work

    func work() throws {
        try sendAllAgain()
        for _ in 0..<workload.turnsPerGeneration {
            if seed.once(in: workload.spaceRate) { disk.isFull.toggle() }
            for _ in 0..<seed.below(workload.requestsPerTurnMax + 1) { _ = try request() }
            try turn()
            try compareGlance()
            if disk.isDead || store!.wal.poisonCause != nil { return }
            if seed.once(in: 50) { try compare(seed.below(history.nameCount)) }
            // Where a checkpoint covers the last batch: the place for damage that only it can prove.
            if workload.endsInDamage && isCovered(lastDurable) && seed.once(in: 3) { return crash(.power) }
        }
        if disk.isFull { try goOnWithSpace() }
    }

    /// There is room again: the log goes on.
    private func goOnWithSpace() throws {
        tally[.fullDisks] += 1
        disk.isFull = false
        guard disk.faultRate == 0 else { return }
        for _ in 0..<1000 {
            if try request() { return }
            try turn()
            if disk.isDead { return }
        }
        throw Failure(description: "nothing is appended though the disk has room again")
    }

    /// One turn of the loop.
    func turn() throws {
        let store = store!
        let timeout = [store.wal.turn(), maintenanceWait].compactMap { $0 }.min()
        let (segmentCount, active) = (store.wal.segments.count, store.wal.active.position)
        store.wal.wait(timeoutMicroseconds: timeout ?? 1_500_000, into: &events)
        if let batch = events.durable {
            store.publish(batch)
            history.acknowledge(through: batch.number)
            lastDurable = batch.number
            lastBatch = batch
            if store.wal.isSealed { tally[.sealed] += 1 }
        }
        guard store.wal.durable.number == lastDurable else {
            throw Failure(description: "the durable position is at \(store.wal.durable.number) before that is reported")
        }
        for read in events.reads { _ = store.readEnded(number: read.number, result: read.result) }
        for file in events.finishedFiles where store.finished(file) == nil && file.kind == .checkpoint {
            tally[.checkpoints] += 1
            newestCheckpoint = disk.newestName("/data/checkpoint", ending: ".ckpt")
        }
        let packed = store.packed
        maintenanceWait = try tick()
        tally[.packed] += Int(store.packed.segments - packed.segments)
        if store.packed.bytes > packed.bytes { tally[.copies] += 1 }
        let turned = store.wal.active.position == active ? 0 : 1
        tally[.segmentTurns] += turned
        tally[.retired] += segmentCount + turned - store.wal.segments.count
        try checkPromises()
        if let cause = store.wal.poisonCause, disk.faultRate == 0, !disk.isDead {
            throw Failure(description: "the log is poisoned without a fault (\(cause))")
        }
    }

    func checkPromises() throws {
        if let broken = disk.broken { throw Failure(description: broken) }
    }

    // MARK: Ends

    private func end() throws {
        if store == nil { return }
        if disk.isDead || store!.wal.poisonCause != nil || seed.once(in: 2) {
            let isPoisoned = !disk.isDead && store!.wal.poisonCause != nil
            if isPoisoned { tally[.poisoned] += 1 }
            // The cache of a poisoned process shows what the disk does not have.
            return crash(isPoisoned && seed.once(in: 2) ? .kill : nil)
        }
        disk.callsUntilDeath = nil
        disk.diesBehindNames = false
        let isClean = store!.close(deadlineMicroseconds: clock.monotonicMicroseconds + 10_000_000)
        if store!.wal.durable.number != lastDurable { lastBatch = nil }
        lastDurable = store!.wal.durable.number
        history.acknowledge(through: lastDurable)
        try checkPromises()
        if isClean {
            tally[.cleanStops] += 1
            guard history.pendingCount == 0 else { throw Failure(description: "a clean stop left requests unanswered") }
            wasStoppedCleanly = true
            // The rest of the maintenance work is done, or the machine dies in it.
            if seed.once(in: 2) { store = nil }
        }
        crash()
    }

    func crash(_ crash: SimulatedDisk.Crash? = nil) {
        tally[.crashes] += 1
        disk.die()
        store = nil
        restart(crash)
    }

    func restart(_ crash: SimulatedDisk.Crash? = nil) {
        disk.restart(crash ?? (seed.once(in: 3) ? .kill : .power))
    }
}
