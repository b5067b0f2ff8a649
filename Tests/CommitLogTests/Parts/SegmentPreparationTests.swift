import Glibc
import LogFormat
import Testing

@testable import CommitLog

struct SegmentPreparationTests {
    @Test func aSegmentIsWrittenFullAndSyncedBeforeItGetsItsName() throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        let log = try DrivenLog(directory, fileSystem: files)
        let folder = directory.directory.segmentsPath
        let calls = files.calls.filter { $0.path.hasPrefix(folder) && $0.operation != "mkdir" }.map(\.operation)
        let end = try #require(calls.firstIndex(of: "rename"))
        let writes = Array(repeating: "pwrite", count: DrivenLog.segmentBytes / CommitLogLimits.hurriedFillWriteBytes)
        // The sync before the start trusts the names that are there, the file, and its name.
        let expected: [String] = ["fsync", "unlink", "open"] + writes + ["fdatasync", "rename", "fsync"]
        #expect(Array(calls[...(end + 1)]) == expected)
        #expect(log.log.segments.count == 1)
    }

    @Test func theNamesOfANewDirectoryAreDurableBeforeItsFirstSegment() throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        var configuration = DrivenLog.configuration(directory)
        configuration.directory = "\(directory.path)/data/"
        _ = try DrivenLog(configuration, fileSystem: files)
        let calls = files.calls
        let named = try #require(calls.firstIndex { $0.operation == "rename" })
        for path in [directory.path, "\(directory.path)/data"] {
            let synced = try #require(calls.firstIndex { $0.operation == "fsync" && $0.path == path })
            #expect(synced < named)
        }
    }

    @Test func aPreparedSegmentHoldsItsHeaderAndZeros() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        log.awaitSpare()
        let bytes = try #require(try directory.contents(directory.segment(1)))
        #expect(bytes.count == DrivenLog.segmentBytes)
        #expect(bytes[SegmentHeader.byteCount...].allSatisfy { $0 == 0 })
        let header = try directory.header(directory.segment(1))
        #expect(header.storeID == log.log.storeID)
        #expect(header.position == log.log.active.limit)
    }

    /// Whichever call fails, appends are refused with the reason when the active segment is full, nothing half-made is
    /// left, and they go on once the disk does.
    @Test(arguments: ["unlink", "open", "pwrite", "fdatasync", "rename", "fsync"])
    func aSpareThatCannotBeMadeRefusesAppendsUntilItCan(_ operation: String) throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        let clock = TestClock()
        let spare = directory.directory.segmentPath(.zero + DrivenLog.segmentBytes)
        files.fail { call in
            guard call.operation == operation else { return nil }
            let isOfSpare = call.path.hasPrefix(spare)
            // The first segment's own directory sync must go well.
            return isOfSpare || (operation == "fsync" && call.path.hasSuffix("/wal") && spareIsNamed(spare))
                ? ENOSPC : nil
        }
        var acknowledged: [[UInt8]] = []
        do {
            let log = try DrivenLog(DrivenLog.configuration(directory), fileSystem: files, clock: clock)
            let error = try fill(log)
            #expect(error.code == ENOSPC)
            #expect(!directory.names(in: "wal").contains { $0.hasSuffix(".tmp") })
            let count = log.frames.count
            #expect(count > 4)
            // Small ones that fit the rest of the segment are still taken.
            try log.commit(bytes: 10)
            files.fail { _ in nil }
            log.wait(timeoutMicroseconds: 0)
            #expect(!log.hasSpare, "it is not tried again at once")
            clock.advance(microseconds: CommitLogLimits.spareRetryMicroseconds)
            log.wait(timeoutMicroseconds: 0)
            try log.commit(bytes: 200_000)
            #expect(log.log.segments.count == 2)
            #expect(log.frames.count == count + 2)
            acknowledged = log.frames
        }
        #expect(try DrivenLog(directory).replayed.frames == acknowledged)
    }

    /// Appends until it is refused for want of a segment.
    private func fill(_ log: DrivenLog) throws -> FileError {
        while log.frames.count < 20 {
            switch log.append(log.record(200_000)) {
            case .staged: while log.log.pendingBytes > 0 { log.wait() }
            case .busy: log.wait(timeoutMicroseconds: 1000)
            case .noSegment(let error): return error
            case .poisoned(let cause): throw CommitLogError.poisoned(cause)
            }
        }
        throw CommitLogError.configuration("appends were never refused")
    }

    @Test func aNewStoreThatFindsNoRoomDoesNotOpen() throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        files.fail { $0.operation == "pwrite" ? ENOSPC : nil }
        #expect(throws: CommitLogError.self) { try DrivenLog(directory, fileSystem: files) }
        #expect(directory.names(in: "wal") == [])
        #expect(files.openPaths == [])
        files.fail { _ in nil }
        #expect(try DrivenLog(directory, fileSystem: files).log.recovery.isNewStore)
    }

    @Test func theZeroFillKeepsPaceWithTheIngestAndNeverFallsBelowTheMinimum() {
        var rate = FillRate()
        let least = CommitLogLimits.fillBytesPerSecondMin
        #expect(rate.pace(now: 10_000_000, bytesWritten: 0) == least)
        #expect(rate.pace(now: 12_000_000, bytesWritten: 400_000_000) == 400_000_000)
        #expect(rate.pace(now: 12_500_000, bytesWritten: 400_000_000) == least)
        #expect(rate.pace(now: 14_000_000, bytesWritten: 400_000_001) == least)
    }
}

private func spareIsNamed(_ path: String) -> Bool { access(path, F_OK) == 0 }
