import Glibc
import LogFormat
import Testing

@testable import CommitLog

struct ReserveTests {
    private static let reserve = 300_000

    private func configuration(_ directory: ScratchDirectory) -> CommitLogConfiguration {
        var configuration = DrivenLog.configuration(directory)
        configuration.reserveBytes = Self.reserve
        return configuration
    }

    private func outcome(_ log: DrivenLog, _ kind: FrameKind) -> AppendOutcome {
        let header = FrameHeader(
            kind: kind, recordCount: 0, logID: LogID(rawValue: 1), firstOffset: .zero,
            timestamp: Timestamp(rawValue: 1), payloadBytes: 0)
        return log.log.append(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) { _, _ in }
    }

    private func settle(_ log: DrivenLog) { while log.log.pendingBytes > 0 { log.wait() } }

    /// Appends small records until the disk is said to be full.
    private func fill(_ log: DrivenLog) throws -> FileError {
        while true {
            switch log.append(log.record(20_000)) {
            case .staged: settle(log)
            case .busy: log.wait(timeoutMicroseconds: 1000)
            case .noSegment(let error): return error
            case .poisoned(let cause): throw CommitLogError.poisoned(cause)
            }
        }
    }

    @Test func aFullDiskTakesWhatFreesSpaceButNoRecords() throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        let clock = TestClock()
        let spare = directory.directory.segmentPath(.zero + DrivenLog.segmentBytes)
        files.fail { $0.operation == "pwrite" && $0.path.hasPrefix(spare) ? ENOSPC : nil }
        var acknowledged: [[UInt8]] = []
        do {
            let log = try DrivenLog(configuration(directory), fileSystem: files, clock: clock)
            #expect(try fill(log).code == ENOSPC)
            #expect(log.log.active.remainingBytes >= Self.reserve)
            for kind in [FrameKind.append, .create, .configure] {
                guard case .noSegment = outcome(log, kind) else {
                    Issue.record("a frame of the kind \(kind) went into the reserve")
                    continue
                }
            }
            for kind in [FrameKind.trim, .delete, .close] {
                guard case .staged = outcome(log, kind) else {
                    Issue.record("a frame of the kind \(kind) was refused on a full disk")
                    continue
                }
                settle(log)
            }
            #expect(log.log.active.remainingBytes < Self.reserve)
            files.fail { _ in nil }
            clock.advance(microseconds: CommitLogLimits.spareRetryMicroseconds)
            log.wait(timeoutMicroseconds: 0)
            log.awaitSpare()
            // With a next segment the reserve is room like any other.
            try log.commit(bytes: 20_000)
            #expect(log.log.segments.count == 1)
            acknowledged = log.frames
        }
        #expect(try DrivenLog(configuration(directory)).replayed.frames == acknowledged)
    }

    @Test func aReserveLeavesRoomForTheLargestBatch() throws {
        let directory = try ScratchDirectory()
        var configuration = configuration(directory)
        let most = configuration.segmentBytes - configuration.batchBytesMax - 2 * 4096
        configuration.reserveBytes = most
        try configuration.check(blockBytes: 4096)
        configuration.reserveBytes = most + 1
        #expect(throws: CommitLogError.self) { try configuration.check(blockBytes: 4096) }
        configuration.reserveBytes = -1
        #expect(throws: CommitLogError.self) { try configuration.check(blockBytes: 4096) }
    }
}
