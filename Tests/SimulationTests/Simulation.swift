import Glibc
import LogFormat

@testable import LogStore
@testable import WriteAheadLog

/// One run of the real store on a simulated machine, all of it drawn from one seed: generations of starts, appends and
/// ends, of which many are crashes, and after each start the comparison with what was acknowledged.
final class Simulation {
    /// What a run has met, so that one can see that it is no empty run.
    struct Tally {
        var starts = 0
        var crashesInOpen = 0
        var crashes = 0
        var cleanStops = 0
        var poisoned = 0
        var cuts = 0
        var segmentTurns = 0
        var checkpointStarts = 0
        var acknowledged = 0

        static func += (left: inout Tally, right: Tally) {
            left.starts += right.starts
            left.crashesInOpen += right.crashesInOpen
            left.crashes += right.crashes
            left.cleanStops += right.cleanStops
            left.poisoned += right.poisoned
            left.cuts += right.cuts
            left.segmentTurns += right.segmentTurns
            left.checkpointStarts += right.checkpointStarts
            left.acknowledged += right.acknowledged
        }
    }

    /// Starts in a row that may fail before the machine is left in peace.
    private static let troubledStartCountMax = 4

    private var seed: Seed
    private let workload: Workload
    private let disk: SimulatedDisk
    private let clock: SimulatedClock
    private var history: History
    private var store: LogStore?
    private var events = LoopEvents()
    private var requestCount = 0
    private var segmentBytes = 1 << 20
    private var wasStoppedCleanly = false
    /// The last batch that was durable in any process.
    private var lastDurable = BatchNumber.zero
    /// The newest checkpoint that was reported to be in place.
    private var newestCheckpoint = ""
    private(set) var tally = Tally()

    init(seed value: UInt64) {
        seed = Seed(value)
        workload = Workload(&seed)
        disk = SimulatedDisk(&seed)
        clock = SimulatedClock(&seed)
        history = History(logCount: workload.logCount)
    }

    func run() throws {
        for _ in 0..<workload.generationCount {
            try start()
            // What a start has shown, a crash right behind it does not take back.
            if seed.once(in: 4) {
                crash()
                try start()
            }
            disk.callsUntilDeath = workload.callsUntilDeath(&seed)
            disk.faultRate = workload.faultRate
            try work()
            try end()
        }
        try start()
        crash()
        try start()
        tally.acknowledged = history.acknowledgedCount
    }

    // MARK: Starts

    /// Starts the store, through crashes and faults, and compares what it shows.
    private func start() throws {
        var attempt = 0
        while store == nil {
            let isTroubled = attempt < Self.troubledStartCountMax
            disk.callsUntilDeath = isTroubled && seed.once(in: 3) ? seed.below(90) : nil
            disk.faultRate = isTroubled ? workload.faultRate : 0
            if workload.changesSegmentSize { segmentBytes = seed.pick([1, 2]) << 20 }
            do { store = try open() } catch {
                try accept(error)
            }
            // It may die in the maintenance work while the start succeeds.
            if disk.isDead && store != nil { crash() }
            attempt += 1
        }
        disk.callsUntilDeath = nil
        disk.faultRate = 0
        tally.starts += 1
        let report = store!.wal.recovery
        if report.tornBytes > 0 { tally.cuts += 1 }
        if report.checkpoint != nil { tally.checkpointStarts += 1 }
        if wasStoppedCleanly && report.tornBytes > 0 { throw Failure(description: "a clean stop left a torn batch") }
        wasStoppedCleanly = false
        try compareLog(report)
        try history.recovered((0..<history.logCount).map(shownCount))
        try compareAll()
    }

    /// A start has made an epoch's batch durable, used the newest checkpoint, and left only zeros behind the tail.
    private func compareLog(_ report: RecoveryReport) throws {
        let wal = store!.wal
        guard wal.durable.number > lastDurable else { throw Failure(description: "a start made no batch durable") }
        lastDurable = wal.durable.number
        guard report.checkpoint ?? "" >= newestCheckpoint else {
            throw Failure(description: "the checkpoint \(newestCheckpoint) was in place and is gone")
        }
        let path = wal.directory.segmentPath(wal.active.position)
        guard disk.isZero(path, from: wal.active.end - wal.active.position) else {
            throw Failure(description: "a start left something behind the tail")
        }
    }

    private func open() throws -> LogStore {
        var configuration = LogStoreConfiguration(wal: WriteAheadLogConfiguration(directory: "/data"))
        configuration.wal.segmentBytes = segmentBytes
        configuration.wal.batchBytesMax = 64 << 10
        configuration.wal.lingerMicroseconds = workload.lingerMicroseconds
        let wal = configuration.wal
        let host = SimulatedHost(disk, clock, workload.mode)
        return try LogStore.open(configuration, fileSystem: disk, clock: clock) { visitor throws(WriteAheadLogError) in
            try WriteAheadLog.open(wal, fileSystem: disk, clock: clock, visitor: visitor, host: host)
        }
    }

    /// A start may fail because the machine died or a call failed; it never finds damage.
    private func accept(_ error: any Error) throws {
        try checkPromises()
        let isExcused = disk.isDead || disk.faultRate > 0
        switch error {
        case WriteAheadLogError.file, WriteAheadLogError.poisoned:
            guard isExcused else { throw Failure(description: "a start failed without a fault: \(error)") }
        default: throw Failure(description: "a start was refused: \(error)")
        }
        wasStoppedCleanly = false
        tally.crashesInOpen += 1
        restart()
    }

    // MARK: Work

    private func work() throws {
        for _ in 0..<workload.turnsPerGeneration {
            for _ in 0..<seed.below(workload.requestsPerTurnMax + 1) { try request() }
            try turn()
            if disk.isDead || store!.wal.poisonCause != nil { return }
            if seed.once(in: 50) { try compare(seed.below(history.logCount)) }
        }
    }

    private func request() throws {
        let log = seed.below(history.logCount)
        let records = workload.request(&seed, number: requestCount)
        let (encoding, body) = encode(records)
        let outcome = try body.withUnsafeBytes { bytes in
            let records = try RecordBody(bytes, encoding: encoding, recordBytesMax: 1 << 20, recordCountMax: 1000)
            return History.name(log).withUnsafeBytes { store!.append(to: $0, records) }
        }
        switch outcome {
        case .staged(let ticket):
            requestCount += 1
            try history.staged(ticket, log: log, records)
        case .busy, .noSegment, .poisoned: break
        case .logNotFound, .pendingLimit: throw Failure(description: "an append was refused: \(outcome)")
        }
    }

    private func encode(_ records: [[UInt8]]) -> (RecordBody.Encoding, [UInt8]) {
        if records.count == 1 && seed.once(in: 2) { return (.whole, records[0]) }
        let isLines = seed.once(in: 2)
        var body: [UInt8] = []
        for record in records {
            if !isLines { withUnsafeBytes(of: UInt32(record.count).littleEndian) { body += Array($0) } }
            body += record
            if isLines { body.append(0x0A) }
        }
        return (isLines ? .lines : .framed, body)
    }

    /// One turn of the loop.
    private func turn() throws {
        let store = store!
        let timeout = store.wal.turn()
        let segmentCount = store.wal.segments.count
        store.wal.wait(timeoutMicroseconds: timeout ?? 1_500_000, into: &events)
        if let batch = events.durable {
            store.publish(batch)
            history.acknowledge(through: batch.number)
            lastDurable = batch.number
        }
        for read in events.reads { _ = store.readEnded(number: read.number, result: read.result) }
        for file in events.finishedFiles where store.finished(file) == nil && file.kind == .checkpoint {
            newestCheckpoint = disk.newestName("/data/checkpoint", ending: ".ckpt")
        }
        store.tick()
        tally.segmentTurns += store.wal.segments.count - segmentCount
        try checkPromises()
    }

    private func checkPromises() throws {
        if let broken = disk.broken { throw Failure(description: broken) }
    }

    // MARK: Ends

    private func end() throws {
        if disk.isDead || store!.wal.poisonCause != nil || seed.once(in: 2) {
            let isPoisoned = !disk.isDead && store!.wal.poisonCause != nil
            if isPoisoned { tally.poisoned += 1 }
            // The cache of a poisoned process shows what the disk does not have.
            return crash(isPoisoned && seed.once(in: 2) ? .kill : nil)
        }
        disk.callsUntilDeath = nil
        let isClean = store!.close(deadlineMicroseconds: clock.monotonicMicroseconds + 10_000_000)
        lastDurable = store!.wal.durable.number
        history.acknowledge(through: lastDurable)
        try checkPromises()
        if isClean {
            tally.cleanStops += 1
            guard history.pendingCount == 0 else { throw Failure(description: "a clean stop left requests unanswered") }
            wasStoppedCleanly = true
            // The rest of the maintenance work is done, or the machine dies in it.
            if seed.once(in: 2) { store = nil }
        }
        crash()
    }

    private func crash(_ crash: SimulatedDisk.Crash? = nil) {
        tally.crashes += 1
        disk.die()
        store = nil
        restart(crash)
    }

    private func restart(_ crash: SimulatedDisk.Crash? = nil) {
        disk.restart(crash ?? (seed.once(in: 3) ? .kill : .power))
    }

    // MARK: Comparison

    /// The records that the store says a log has.
    private func shownCount(_ log: Int) -> Int {
        guard let slot = History.name(log).withUnsafeBytes({ store!.slot(named: $0) }) else { return 0 }
        return Int(store!.summary(slot).next.rawValue)
    }

    private func compareAll() throws {
        let counts = try (0..<history.logCount).map { try compare($0) }
        let totals = store!.totals
        let records = counts.reduce(0, +)
        guard totals.records == UInt64(records), totals.logs == counts.count(where: { $0 > 0 }) else {
            throw Failure(description: "the totals are \(totals), and there are \(records) records")
        }
        guard store!.list(prefix: [], after: nil, limit: 1000).logs.count == totals.logs else {
            throw Failure(description: "the list shows other logs than the totals count")
        }
    }

    /// Reads a log from its first record to its last; returns how many there are.
    @discardableResult
    private func compare(_ log: Int) throws -> Int {
        guard let slot = History.name(log).withUnsafeBytes({ store!.slot(named: $0) }) else { return 0 }
        let expected = history.durable[log]
        let sink = ComparingSink(expected)
        let read = store!.beginRead(slot, from: .zero)
        while true {
            switch store!.step(read, into: sink) {
            case .finished:
                if let failure = sink.failure { throw Failure(description: "log \(log): \(failure)") }
                guard sink.count > 0, UInt64(sink.count) == read.tail.rawValue else {
                    throw Failure(description: "log \(log): a read ends at \(sink.count), the log at \(read.tail)")
                }
                if sink.count != expected.count {
                    throw Failure(description: "log \(log): \(sink.count) of \(expected.count) records are shown")
                }
                return sink.count
            case .waiting: while read.fetch != .none { try turn() }
            case .damaged(let position):
                throw Failure(description: "log \(log): a read finds damage at \(position)")
            case .lost(let next):
                throw Failure(description: "log \(log): a read finds records lost up to \(next)")
            case .failed(let error):
                guard disk.isDead || disk.faultRate > 0 else {
                    throw Failure(description: "log \(log): a read fails: \(error)")
                }
                return sink.count
            }
        }
    }
}
