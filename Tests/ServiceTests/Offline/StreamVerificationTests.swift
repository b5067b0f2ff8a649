import CommitLog
import Glibc
import LogStore
import Synchronization
import Testing
import WriteAheadLog

@testable import AppendLogService

/// The offline tools on directories of a program that embeds the write-ahead log.
@Suite struct StreamVerificationTests {
    /// Writes records of 100,000 bytes over some segments, lets go of those before `firstKept`, and ends the log.
    private func fill(_ path: String, records: Int, firstKept: Int = 0) throws -> WriteAheadLog.Statistics {
        var configuration = WriteAheadLog.Configuration()
        configuration.segmentBytes = 1 << 20
        configuration.batchBytes = 128 << 10
        configuration.allowsUnsafeFileSystem = true
        let log = try WriteAheadLog.open(path, configuration)
        for number in 0..<records {
            try log.appendAndWait([UInt8](repeating: UInt8(number % 251), count: 100_000))
        }
        if firstKept > 0 {
            try log.truncateFront(before: RecordPosition(rawValue: UInt64(firstKept) * 100_004)).wait()
        }
        try log.shutdown()
        return log.statistics
    }

    private func verify(_ path: String) throws -> (StreamVerification, lines: [String]) {
        var lines: [String] = []
        let found = try StreamVerification(OfflineLog(path: path)) { lines.append($0) }
        return (found, lines)
    }

    /// Flips a byte of a file.
    private func damage(_ path: String, at offset: Int) throws {
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        var byte: UInt8 = 0
        #expect(pread(descriptor, &byte, 1, off_t(offset)) == 1)
        byte ^= 0xFF
        #expect(pwrite(descriptor, &byte, 1, off_t(offset)) == 1)
    }

    @Test func aWholeStreamIsFoundWhole() throws {
        let directory = OfflineLogTests.Directory()
        let statistics = try fill(directory.path, records: 35, firstKept: 12)
        let (found, lines) = try verify(directory.path)
        #expect(lines.isEmpty)
        #expect(found.isWhole)
        #expect(found.first == statistics.first)
        #expect(found.next == statistics.durable)
        #expect(found.summary.contains("positions    1200048 to 3500140\n"))
        #expect(found.summary.hasSuffix("no damage\n"))
    }

    @Test func aDamagedBatchInTheMiddleIsNamedWithWhatIsMissing() throws {
        let directory = OfflineLogTests.Directory()
        _ = try fill(directory.path, records: 25)
        // The second record: behind the header, the epoch, and the first one with its batch's padding.
        try damage("\(directory.path)/wal/00000000000000000000.seg", at: 4096 + 4096 + 102_400 + 50_000)
        let (found, lines) = try verify(directory.path)
        #expect(!found.isWhole)
        #expect(found.damageCount == 1)
        #expect(found.lossCount == 1)
        #expect(lines.count { $0.hasPrefix("damage: wal/00000000000000000000.seg at position ") } == 1)
        #expect(lines.count { $0.hasPrefix("missing: the records from 100004 to 200008 (wal/") } == 1)
        #expect(found.recordCount == 24)
    }

    @Test func aDamagedHeaderDoesNotMakeItLogsOfTheService() throws {
        let directory = OfflineLogTests.Directory()
        _ = try fill(directory.path, records: 25)
        try damage("\(directory.path)/wal/00000000000000000000.seg", at: 30)
        let (found, lines) = try verify(directory.path)
        #expect(found.damageCount == 1)
        #expect(found.lossCount == 0)
        #expect(lines.count == 1)
        expectRefusals(directory.path)
    }

    @Test func aMissingSegmentIsNamed() throws {
        let directory = OfflineLogTests.Directory()
        _ = try fill(directory.path, records: 35)
        #expect(unlink("\(directory.path)/wal/00000000000001048576.seg") == 0)
        let (found, lines) = try verify(directory.path)
        #expect(!found.isWhole)
        #expect(found.lossCount == 1)
        #expect(lines.contains { $0.hasPrefix("missing: the records from 1000040 to ") })
    }

    @Test func dumpRepairAndServeRefuseItWithOneSentence() throws {
        let directory = OfflineLogTests.Directory()
        _ = try fill(directory.path, records: 3)
        expectRefusals(directory.path)
        var wal = CommitLogConfiguration(directory: directory.path)
        wal.allowsUnsafeFileSystem = true
        #expect {
            _ = try LogStore.open(LogStoreConfiguration(wal: wal))
        } throws: { error in
            guard case .otherContent(_, .singleLog)? = error as? CommitLogError else { return false }
            return true
        }
    }

    private func expectRefusals(_ path: String) {
        let lines = Mutex(0)
        let isOther = { @Sendable (error: any Error) in
            guard case .otherContent(_, .singleLog)? = error as? CommitLogError else { return false }
            return true
        }
        let count = { (_: String) in lines.withLock { $0 += 1 } }
        #expect {
            _ = try LogDump(
                OfflineLog(path: path), .records, of: nil, { _ in lines.withLock { $0 += 1 } }, report: count)
        } throws: {
            isOther($0)
        }
        #expect {
            _ = try Repair(path, report: count).run()
        } throws: {
            isOther($0)
        }
        #expect {
            _ = try Verification(OfflineLog(path: path), count)
        } throws: {
            isOther($0)
        }
        #expect(lines.withLock { $0 } == 0)
        #expect(access(path + ".repaired", F_OK) != 0 && access(path + ".repaired.unfinished", F_OK) != 0)
    }

    @Test func theLibraryRefusesLogsOfTheService() throws {
        let directory = OfflineLogTests.Directory()
        try OfflineLogTests().fill(directory)
        #expect(throws: WriteAheadLogError.otherContent(directory: directory.path)) {
            _ = try WriteAheadLog.open(directory.path)
        }
    }
}
