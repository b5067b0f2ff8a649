import Glibc
import LogFormat

@testable import CommitLog
@testable import WriteAheadLog

/// One run of the library's stream of records on a simulated machine, drawn from one seed: generations of starts, appends of
/// one and of several records, cuts of the front, and ends, of which many are crashes. After each start everything that is
/// there is compared with what was acknowledged.
final class StreamSimulation {
    enum Event: String, CaseIterable {
        case starts, crashesInOpen, crashes, cleanStops, poisoned, cuts, segmentTurns, retired, checkpointStarts
        case groups, truncations, losses, busy, full, acknowledged
    }

    private var seed: Seed
    private let workload: Workload
    private let maintenance: Coroutine
    private let disk: SimulatedDisk
    private let clock: SimulatedClock
    private var records: RecordLog?
    private var model = StreamModel()
    private var events = LoopEvents()
    private var number = 0
    private(set) var tally: [Event: Int] = [:]

    init(seed value: UInt64) {
        seed = Seed(value)
        workload = Workload(&seed)
        maintenance = Coroutine(seed: value)
        disk = SimulatedDisk(&seed, maintenance)
        clock = SimulatedClock(&seed)
    }

    /// What the disk holds in the end, for telling two runs apart.
    var fingerprints: [String] { disk.fingerprints().map { "\($0)" } }

    func run() throws {
        defer {
            // Also behind a failure nothing stays under way.
            disk.die()
            records = nil
            maintenance.stop()
        }
        for _ in 0..<workload.generationCount {
            try start()
            disk.callsUntilDeath = workload.callsUntilDeath(&seed)
            disk.diesBehindNames = seed.once(in: 2)
            disk.faultRate = workload.faultRate
            try work()
            disk.isFull = false
            try end()
        }
        try start()
        try retire()
        crash()
        try start()
        tally[.acknowledged] = model.acknowledgedRecordCount
    }

    private func count(_ event: Event, _ times: Int = 1) { tally[event, default: 0] += times }

    // MARK: Starting

    private func start() throws {
        var attempt = 0
        while records == nil {
            let isTroubled = attempt < 4
            disk.callsUntilDeath = isTroubled && seed.once(in: 3) ? seed.below(90) : nil
            disk.faultRate = isTroubled ? workload.faultRate : 0
            do { records = try open() } catch { try accept(error) }
            if disk.isDead && records != nil { crash() }
            attempt += 1
        }
        disk.callsUntilDeath = nil
        disk.faultRate = 0
        count(.starts)
        let records = records!
        if records.log.recovery.tornBytes > 0 { count(.cuts) }
        if records.log.recovery.checkpoint != nil { count(.checkpointStarts) }
        let pending = model.pendingCount
        guard model.survive(as: records.durable) else {
            throw Failure(description: "a start shows \(records.durable), acknowledged was \(model.durable)")
        }
        if model.pendingCount == 0 && model.longestLoss > 0 && pending > 0 { count(.losses) }
        try compare()
    }

    /// A start may fail because the machine died or a call failed; it never finds damage.
    private func accept(_ error: any Error) throws {
        switch error {
        case CommitLogError.file, CommitLogError.poisoned:
            guard disk.isDead || disk.faultRate > 0 else {
                throw Failure(description: "a start failed without a fault")
            }
        default: throw Failure(description: "a start was refused: \(error)")
        }
        count(.crashesInOpen)
        disk.restart(seed.once(in: 3) ? .kill : .power)
    }

    private func open() throws(CommitLogError) -> RecordLog {
        let machine = workload.machine(&seed)
        var configuration = CommitLogConfiguration(directory: "/data")
        configuration.segmentBytes = machine.segmentBytes
        configuration.batchBytesMax = max(64 << 10, 4 * machine.blockBytes)
        configuration.lingerMicroseconds = workload.lingerMicroseconds
        configuration.lingerRecordsMax = seed.pick([3, .max])
        configuration.batchRecordsMax = seed.pick([7, .max])
        configuration.recentBytesMax = 0
        configuration.content = .singleLog
        configuration.reserveBytes = seed.once(in: 2) ? configuration.reserveBytesDefault : 0
        let host = SimulatedHost(disk, clock, machine)
        let pendingBytesMax = seed.pick([20_000, Int.max])
        return try RecordLog(pendingBytesMax: pendingBytesMax, clock: clock) { visitor throws(CommitLogError) in
            try CommitLog.open(configuration, fileSystem: disk, clock: clock, visitor: visitor, host: host)
        }
    }

    /// Reads every durable record from the disk, and compares.
    private func compare() throws {
        let records = records!
        var place = RecordPosition.zero
        var expected = model.records[...]
        for (index, segment) in records.log.segments.enumerated() {
            let isActive = index == records.log.segments.count - 1
            var batches = try SegmentBatches(segment, directory: "/data", fileSystem: disk)
            while var batch = try isActive
                ? batches.next(before: records.log.durable.position)?.batch : batches.next()?.batch
            {
                while let frame = try batch.nextFrame() {
                    guard frame.header.kind == .append else { continue }
                    place = RecordPosition(rawValue: frame.header.firstOffset.rawValue)
                    for index in 0..<Int(frame.header.recordCount) {
                        let bytes = Array(frame.record(at: index))
                        if place >= records.durable.lowerBound {
                            guard let next = expected.popFirst(), next.0 == place, next.1 == bytes else {
                                throw Failure(description: "another record is at \(place) than was acknowledged there")
                            }
                        }
                        place = place.advanced(records: 1, bytes: bytes.count)
                    }
                }
            }
        }
        if let missing = expected.first { throw Failure(description: "the record at \(missing.0) is gone") }
    }

    // MARK: Working

    private func work() throws {
        for _ in 0..<workload.turnsPerGeneration {
            if seed.once(in: workload.spaceRate) { disk.isFull.toggle() }
            for _ in 0..<seed.below(workload.requestsPerTurnMax + 1) { try change() }
            try turn()
            if disk.isDead || records!.log.poisonCause != nil { return }
        }
    }

    /// Appends a record or a group, or cuts the front.
    private func change() throws {
        let records = records!
        if seed.once(in: 12) {
            let range = records.sequenced
            let length = Int(range.upperBound.rawValue - range.lowerBound.rawValue)
            let place = RecordPosition(
                rawValue: range.lowerBound.rawValue + UInt64(seed.once(in: 3) ? length : seed.below(length + 1)))
            if take(records.truncateFront(before: place), .truncate(place)) { count(.truncations) }
            return
        }
        number += 1
        let group = workload.request(&seed, number: number)
        let bytes = group.reduce(0) { $0 + $1.count }
        guard
            FrameHeader.frameBytes(fieldsBytes: 0, recordCount: group.count, payloadBytes: bytes)
                <= records.log.frameBytesMax
        else { return }
        let position = records.sequenced.upperBound
        let outcome = records.append(records: group.count, bytes: bytes) { lengths, payload in
            var offset = 0
            for (index, record) in group.enumerated() {
                lengths.storeBytes(of: UInt32(record.count).littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                UnsafeMutableRawBufferPointer(rebasing: payload[offset...]).copyBytes(from: record)
                offset += record.count
            }
        }
        if take(outcome, .append(group, at: position)), group.count > 1 { count(.groups) }
    }

    private func take(_ outcome: RecordLog.Outcome, _ change: StreamModel.Change) -> Bool {
        switch outcome {
        case .staged(let batch, _):
            model.accept(change, in: batch)
            return true
        case .busy: count(.busy)
        case .noSegment: count(.full)
        case .poisoned: break
        }
        return false
    }

    private func turn() throws {
        let records = records!
        let wanted = records.tick()
        let timeout = [wanted, records.log.turn()].compactMap { $0 }.min()
        let (segmentCount, active) = (records.log.segments.count, records.log.active.position)
        records.log.wait(timeoutMicroseconds: timeout ?? 1_500_000, into: &events)
        if let batch = events.durable {
            records.publish(batch)
            model.acknowledge(through: batch.number)
        }
        if !events.finishedFiles.isEmpty { records.noteFinishedFile() }
        if let broken = disk.broken { throw Failure(description: broken) }
        guard records.durable == model.durable else {
            throw Failure(description: "\(records.durable) is shown, \(model.durable) is durable")
        }
        let turned = records.log.active.position == active ? 0 : 1
        count(.segmentTurns, turned)
        count(.retired, segmentCount + turned - records.log.segments.count)
        if let cause = records.log.poisonCause, disk.faultRate == 0, !disk.isDead {
            throw Failure(description: "the log is poisoned without a fault (\(cause))")
        }
    }

    // MARK: Ending

    // No name for the log here: it must be gone before the machine comes up again.
    private func end() throws {
        let isPoisoned = !disk.isDead && records!.log.poisonCause != nil
        if isPoisoned { count(.poisoned) }
        if disk.isDead || isPoisoned || seed.once(in: 2) { return crash(isPoisoned ? .kill : nil) }
        disk.callsUntilDeath = nil
        disk.diesBehindNames = false
        for _ in 0..<1000 where records!.log.isBusy && !disk.isDead { try turn() }
        if !disk.isDead && records!.log.finish(deadlineMicroseconds: clock.monotonicMicroseconds + 10_000_000) {
            guard model.pendingCount == 0 else { throw Failure(description: "a clean stop left appends unanswered") }
            count(.cleanStops)
            if seed.once(in: 2) { records = nil }
        }
        crash()
    }

    private func crash(_ crash: SimulatedDisk.Crash? = nil) {
        count(.crashes)
        disk.die()
        records = nil
        disk.restart(crash ?? (seed.once(in: 3) ? .kill : .power))
    }

    /// With nothing kept all segments but the active one go, and no append is needed for that.
    private func retire() throws {
        let end = records!.sequenced.upperBound
        for _ in 0..<1000 where !take(records!.truncateFront(before: end), .truncate(end)) { try turn() }
        for _ in 0..<3000 {
            try turn()
            if records!.log.segments.count == 1 && model.pendingCount == 0 { return }
        }
        throw Failure(description: "\(records!.log.segments.count) segments stay though nothing is kept")
    }
}
