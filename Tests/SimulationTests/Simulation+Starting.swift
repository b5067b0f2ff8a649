import LogFormat

@testable import CommitLog
@testable import LogStore

extension Simulation {
    /// Starts in a row that may fail before the machine is left in peace.
    private static let troubledStartCountMax = 4

    /// Starts the store, through crashes and faults, and compares what it shows.
    func start() throws {
        var attempt = 0
        while store == nil {
            let isTroubled = attempt < Self.troubledStartCountMax
            disk.callsUntilDeath = isTroubled && seed.once(in: 3) ? seed.below(90) : nil
            disk.faultRate = isTroubled ? workload.faultRate : 0
            disk.isFull = isTroubled && workload.spaceRate > 0 && seed.once(in: 4)
            do { store = try open() } catch {
                try accept(error)
            }
            // It may die in the maintenance work while the start succeeds.
            if disk.isDead && store != nil { crash() }
            attempt += 1
        }
        leaveInPeace()
        let report = store!.wal.recovery
        if wasStoppedCleanly && report.tornBytes > 0 { throw Failure(description: "a clean stop left a torn batch") }
        wasStoppedCleanly = false
        guard report.checkpoint ?? "" >= newestCheckpoint else {
            throw Failure(description: "the checkpoint \(newestCheckpoint) was in place and is gone")
        }
        try compareLog(report)
        _ = try recovered()
        try compareAll()
    }

    func leaveInPeace() {
        disk.callsUntilDeath = nil
        disk.faultRate = 0
        disk.isFull = false
    }

    /// A start has made an epoch's batch durable, and left only zeros behind the tail.
    func compareLog(_ report: RecoveryReport) throws {
        tally[.starts] += 1
        if report.tornBytes > 0 { tally[.cuts] += 1 }
        if report.checkpoint != nil { tally[.checkpointStarts] += 1 }
        let wal = store!.wal
        guard wal.durable.number > lastDurable || isDamaged else {
            throw Failure(description: "a start made \(wal.durable.number) durable, \(lastDurable) was before")
        }
        lastDurable = wal.durable.number
        // The epoch's: one block, alone.
        let block = Int(wal.active.header.blockBytes)
        lastBatch = DurableBatch(
            number: lastDurable, position: Position(rawValue: wal.durable.position.rawValue - UInt64(block)),
            byteCount: BatchHeader.byteCount + FrameHeader.byteCount, segment: wal.active.position, beginsSegment: false
        )
        let path = wal.directory.segmentPath(wal.active.position)
        guard disk.isZero(path, from: wal.active.end - wal.active.position) else {
            throw Failure(description: "a start left something behind the tail")
        }
    }

    func open() throws -> LogStore {
        let machine = workload.machine(&seed)
        if let last = lastMachine, last != machine { tally[.machineChanges] += 1 }
        lastMachine = machine
        var configuration = LogStoreConfiguration(wal: CommitLogConfiguration(directory: "/data"))
        configuration.wal.segmentBytes = machine.segmentBytes
        configuration.wal.batchBytesMax = max(64 << 10, 4 * machine.blockBytes)
        configuration.wal.lingerMicroseconds = workload.lingerMicroseconds
        configuration.autoCreate = workload.autoCreate
        configuration.identities = workload.identities
        let wal = configuration.wal
        let host = SimulatedHost(disk, clock, machine)
        return try LogStore.open(configuration, fileSystem: disk, clock: clock) { visitor throws(CommitLogError) in
            try CommitLog.open(wal, fileSystem: disk, clock: clock, visitor: visitor, host: host)
        }
    }

    /// A start may fail because the machine died or a call failed; it never finds damage.
    private func accept(_ error: any Error) throws {
        try checkPromises()
        let isExcused = disk.isDead || disk.faultRate > 0 || disk.isFull
        switch error {
        case CommitLogError.file, CommitLogError.poisoned:
            guard isExcused else { throw Failure(description: "a start failed without a fault: \(error)") }
        default: throw Failure(description: "a start was refused: \(error)")
        }
        wasStoppedCleanly = false
        tally[.crashesInOpen] += 1
        restart()
    }
}
