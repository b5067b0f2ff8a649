import LogFormat
import Testing

@testable import CommitLog

/// What was acknowledged comes back, however it was written and read.
struct RoundTripTests {
    @Test(arguments: EngineCase.all)
    func acknowledgedFramesComeBackByteForByteHoweverTheLogIsReopened(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        var frames: [[UInt8]] = []
        for reopened in [way] + EngineCase.all + [way] {
            let log = try reopened.open(directory)
            #expect(log.replayed.frames == frames)
            for sizes in [[0], [1, 7, 4096, 65_536], [200_000], [3, 30_000]] {
                try log.commit(sizes.map(log.record))
            }
            frames += log.frames
        }
        #expect(frames.count == 6 * 8)
    }

    @Test(arguments: EngineCase.all)
    func theLogGoesOnOverManySegments(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let log = try way.open(directory)
        while log.log.segments.count < 4 { try log.commit(bytes: 190_000) }
        #expect(log.batches.filter(\.beginsSegment).map(\.segment) == log.log.segments.dropFirst().map(\.position))
        for (segment, next) in zip(log.log.segments, log.log.segments.dropFirst()) {
            #expect(next.position == segment.limit)
            #expect(segment.end <= segment.limit)
        }
        for batch in log.batches {
            #expect(log.log.segment(containing: batch.position)?.position == batch.segment)
        }
        #expect(log.log.segment(containing: log.log.active.limit) == nil)
    }

    @Test(arguments: EngineCase.all)
    func readsOfTheActiveAndOfSealedSegmentsGiveWhatWasWritten(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let log = try way.open(directory)
        while log.log.segments.count < 3 { try log.commit(bytes: 100_000) }
        for (batch, frame) in zip(log.batches, log.frames) {
            let bytes = try log.read(batch)
            #expect(Array(bytes[BatchHeader.byteCount..<BatchHeader.byteCount + frame.count]) == frame)
        }
    }

    @Test(arguments: EngineCase.all)
    func moreReadsThanTheQueueHoldsAllEnd(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let log = try way.open(directory)
        try log.commit(bytes: 100)
        let count = 3 * Int(CommitLogLimits.ringEntryCountDefault)
        let block = ScratchDirectory.block
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count * block, alignment: block)
        defer { buffer.deallocate() }
        var descriptors: [Int32] = []
        for number in 0..<count {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[number * block..<(number + 1) * block])
            descriptors.append(
                try log.log.beginRead(
                    log.log.active, at: log.batches[0].position, into: part, number: UInt64(number)))
        }
        var ended: Set<UInt64> = []
        while ended.count < count {
            log.wait(timeoutMicroseconds: nil)
            for read in log.events.reads {
                #expect(read.result == Int32(block))
                #expect(ended.insert(read.number).inserted)
            }
        }
        for descriptor in descriptors { log.log.endRead(descriptor) }
        let first = Array(buffer[..<block])
        for number in 0..<count { #expect(Array(buffer[number * block..<(number + 1) * block]) == first) }
    }

    @Test(arguments: EngineCase.all)
    func framesThatArriveWhileABatchIsWithTheDiskShareTheNextSync(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        let log = try way.open(directory, decorate: holder.decorate)
        holder.device.holdsWrites = true
        let writes = holder.device.writes.count
        try log.stage(log.record(10))
        _ = log.log.turn()
        for _ in 0..<50 {
            try log.stage(log.record(100))
            // The owner's loop goes round; nothing may be handed over beside what is with the disk.
            _ = log.log.turn()
        }
        #expect(holder.device.writes.count == writes + 1)
        #expect(log.log.pending.staged.frames == 50)
        #expect(log.log.pending.inFlight.frames == 1)
        holder.device.holdsWrites = false
        while log.frames.count < 51 { log.wait() }
        #expect(holder.device.writes.count == writes + 2)
        #expect(log.log.counters.lastBatchRecords == 50)
        #expect(log.batches.count == 2)
    }

    @Test(arguments: EngineCase.all)
    func aLogThatIsClosedLeavesNoDescriptorOpen(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        do {
            let log = try way.open(directory, fileSystem: files)
            while log.log.segments.count < 3 { try log.commit(bytes: 190_000) }
            for batch in log.batches { _ = try log.read(batch) }
            // The spare after the active segment is being made now.
        }
        #expect(files.openPaths == [])
    }
}

extension DrivenLog {
    /// Reads the blocks of a batch from the disk.
    func read(_ batch: BatchPlace) throws -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: batch.blocks.count, alignment: 4096)
        defer { buffer.deallocate() }
        let segment = try #require(log.segment(containing: batch.position))
        let descriptor = try log.beginRead(segment, at: batch.position, into: buffer, number: 77)
        repeat { wait(timeoutMicroseconds: nil) } while events.reads.isEmpty
        #expect(events.reads.map(\.number) == [77])
        #expect(events.reads.map(\.result) == [Int32(batch.blocks.count)])
        log.endRead(descriptor)
        return Array(buffer[..<batch.byteCount])
    }
}
