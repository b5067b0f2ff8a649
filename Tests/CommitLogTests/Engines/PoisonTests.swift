import Glibc
import LogFormat
import Testing

@testable import CommitLog

/// After the first failed write or sync nothing is acknowledged, ever.
struct PoisonTests {
    @Test(arguments: EngineCase.all, [EIO, ENOSPC, EBADF, EAGAIN])
    func aFailedWritePoisons(_ way: EngineCase, _ code: Int32) throws {
        try expectPoison(way, .write(errno: code)) { $0.writeResults = [-code] }
    }

    @Test(arguments: EngineCase.all)
    func aWriteOfNothingPoisons(_ way: EngineCase) throws {
        try expectPoison(way, .write(errno: EIO)) { $0.writeResults = [0] }
    }

    @Test(arguments: EngineCase.buffered, [EIO, ENOSPC, ECANCELED])
    func aFailedSyncPoisonsThoughItsWriteWentWell(_ way: EngineCase, _ code: Int32) throws {
        try expectPoison(way, .sync(errno: code)) { $0.syncResults = [-code] }
    }

    @Test(arguments: EngineCase.all)
    func anErrorBehindAShortWritePoisons(_ way: EngineCase) throws {
        try expectPoison(way, .write(errno: ENOSPC)) {
            $0.writeBytesMax = [4096]
            $0.writeResults = [4096, -ENOSPC]
        }
    }

    @Test(arguments: EngineCase.all)
    func nothingIsDurableBeforeItsWriteHasEnded(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        let log = try way.open(directory, decorate: holder.decorate)
        let before = log.log.durable
        holder.device.holdsWrites = true
        try log.stage(log.record(100))
        _ = log.log.turn()
        while holder.device.heldCount == 0 { log.wait(timeoutMicroseconds: nil) }
        #expect(log.log.durable == before)
        #expect(log.batches == [])
        holder.device.holdsWrites = false
        while log.batches.isEmpty { log.wait() }
        #expect(log.log.durable.number == before.number.next)
    }

    @Test(arguments: EngineCase.buffered)
    func nothingIsDurableBeforeItsSyncHasEnded(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        let log = try way.open(directory, decorate: holder.decorate)
        let before = log.log.durable
        holder.device.holdsSyncs = true
        try log.stage(log.record(100))
        _ = log.log.turn()
        while holder.device.heldCount == 0 { log.wait(timeoutMicroseconds: nil) }
        #expect(log.log.durable == before)
        #expect(log.batches == [])
        holder.device.holdsSyncs = false
        while log.batches.isEmpty { log.wait() }
        #expect(log.frames.count == 1)
    }

    /// Commits once, breaks the device, appends more, and goes on turning the loop.
    private func expectPoison(_ way: EngineCase, _ cause: PoisonCause, _ breakDevice: (FaultyDevice) -> Void) throws {
        let directory = try ScratchDirectory()
        var acknowledged: [[UInt8]] = []
        var sent: [[UInt8]] = []
        do {
            let holder = DeviceHolder()
            let log = try way.open(directory, decorate: holder.decorate)
            try log.commit(bytes: 20_000)
            let durable = log.log.durable
            breakDevice(holder.device)
            try log.stage(log.record(20_000))
            _ = log.log.turn()
            try log.stage(log.record(30))
            while log.log.poisonCause == nil { log.wait() }
            #expect(log.log.poisonCause == cause)
            let writes = holder.device.writes.count
            for _ in 0..<5 {
                #expect(log.append([1]) == .poisoned(cause))
                #expect(log.log.turn() == nil)
                log.wait(timeoutMicroseconds: 1000)
            }
            #expect(!log.finish())
            #expect(log.log.durable == durable)
            #expect(log.batches.count == 1)
            #expect(holder.device.writes.count == writes, "something was written after the failure")
            #expect(log.log.recentBatch(containing: durable.position) == nil)
            acknowledged = log.frames
            sent = acknowledged + [try log.frame(20_000, index: 1)]
        }
        let replayed = try DrivenLog(directory).replayed.frames
        #expect(replayed == acknowledged || replayed == sent)
    }
}

extension DrivenLog {
    /// The frame that `append` makes of the record with this index, if it has so many bytes.
    func frame(_ byteCount: Int, index: Int) throws -> [UInt8] {
        let header = BatchHeader(
            byteCount: 0, frameCount: 0, number: .zero, durableThrough: .zero, storeID: log.storeID,
            epoch: Epoch(rawValue: 1),
            previousCRC: 0, position: .zero)
        let batch = Crafted.batch(
            header, records: [DrivenLog.record(byteCount, index: index)],
            firstOffset: RecordOffset(rawValue: UInt64(index)))
        var view = try batch.withUnsafeBytes { try BatchView(checking: $0) }
        return Array(try #require(try view.nextFrame()).bytes)
    }
}
