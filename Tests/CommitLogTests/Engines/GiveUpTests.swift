import Testing

@testable import CommitLog

/// A log goes while the disk has not ended what it was given: memory that the kernel may still use must not be reused,
/// and nobody may open the directory beside a write that is still under way.
struct GiveUpTests {
    @Test(arguments: EngineCase.all, [true, false])
    func whatABusyDiskStillUsesOutlivesTheLogAndKeepsOthersOut(_ way: EngineCase, _ isBusy: Bool) throws {
        let directory = try ScratchDirectory()
        weak var device: FaultyDevice?
        do {
            let holder = DeviceHolder()
            let log = try way.open(directory, decorate: holder.decorate)
            try log.commit(bytes: 100)
            holder.device.staysBusy = isBusy
            device = holder.device
        }
        #expect((device != nil) == isBusy)
        if isBusy {
            #expect(throws: CommitLogError.self) { _ = try DirectoryLock(directory.directory) }
        } else {
            _ = try whenNoChildHoldsTheLock { try DirectoryLock(directory.directory) }
        }
    }

    /// The deadline of a stop passes while a write is held back.
    @Test(arguments: EngineCase.all)
    func aStopThatMissesItsDeadlineSaysSoAndAcknowledgesNothing(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        let log = try way.open(directory, decorate: holder.decorate)
        let durable = log.log.durable
        holder.device.holdsWrites = true
        try log.stage(log.record(100))
        #expect(!log.log.finish(deadlineMicroseconds: log.log.clock.monotonicMicroseconds + 20_000))
        #expect(log.log.durable == durable && log.batches.isEmpty)
        #expect(log.log.pending.inFlight.records + log.log.pending.staged.records == 1)
        holder.device.holdsWrites = false
        #expect(log.finish())
    }
}
