import CommitLog
import Glibc
import LogFormat
import Testing

@testable import LogStore

/// Disk space comes back: segments that nothing is kept of go, and nothing else does.
@Suite struct RetirementTests {
    /// Bytes of a record that fills about a sixteenth of a segment.
    private static let recordBytes = 120_000

    @Test func trimmedSegmentsGoAndTheRestIsThere() throws {
        let disk = try StoreOnDisk()
        let records = try disk.fill("hot", segments: 6, recordBytes: Self.recordBytes)
        let before = disk.segmentPositions
        let kept = RecordOffset(rawValue: UInt64(records.count - 5))
        try disk.trim("hot", before: kept)
        disk.settle { disk.segmentFileCount <= 3 }
        #expect(before.count >= 6)
        #expect(disk.indexFileCount <= 1)
        #expect(disk.store.wal.segments.count < before.count)
        #expect(try disk.read("hot", from: kept.rawValue) == Array(records[Int(kept.rawValue)...]))
        try disk.reopen()
        #expect(try disk.read("hot", from: kept.rawValue) == Array(records[Int(kept.rawValue)...]))
        #expect(throws: TrimmedRead(first: kept)) { try disk.read("hot") }
        #expect(try disk.append("hot", [1]).first.rawValue == UInt64(records.count))
    }

    @Test func aDeletedLogLeavesNoSegment() throws {
        let disk = try StoreOnDisk()
        try disk.append("other", [1])
        disk.store.relocation.refused.insert(.zero)
        _ = try disk.fill("gone", segments: 5, recordBytes: Self.recordBytes)
        guard case .staged = disk.store.delete(try #require(disk.slot("gone"))) else { throw DeletedLog() }
        // The first holds the other log, the last is active, and there is a spare.
        disk.settle { disk.segmentFileCount <= 3 }
        #expect(disk.segmentPositions.first == .zero)
        try disk.reopen()
        #expect(try disk.read("other") == [[1]])
        #expect(disk.slot("gone") == nil)
    }

    @Test func aLogThatIsTrimmedToItsEndKeepsNoSegmentAndItsNextOffset() throws {
        let disk = try StoreOnDisk()
        let records = try disk.fill("hot", segments: 4, recordBytes: Self.recordBytes)
        try disk.trim("hot", before: RecordOffset(rawValue: UInt64(records.count)))
        disk.settle { disk.segmentFileCount <= 2 }
        try disk.reopen()
        #expect(try disk.append("hot", [7]).first.rawValue == UInt64(records.count))
        #expect(try disk.read("hot", from: UInt64(records.count)) == [[7]])
    }

    @Test func aSegmentBetweenOthersGoes() throws {
        let disk = try StoreOnDisk()
        let cold = uniqueRecord("cold", 0)
        try disk.append("cold", cold)
        disk.store.relocation.refused.insert(.zero)
        let records = try disk.fill("hot", segments: 4, recordBytes: Self.recordBytes)
        try disk.append("late", cold)
        _ = try disk.fill("hot", segments: 6, recordBytes: Self.recordBytes)
        try disk.trim("hot", before: RecordOffset(rawValue: UInt64(records.count)))
        disk.settle { disk.store.wal.segments.count < 6 && disk.segmentFileCount <= 6 }
        let kept = disk.segmentPositions
        #expect(kept.first == .zero)
        #expect(zip(kept, kept.dropFirst()).contains { $1.rawValue - $0.rawValue > UInt64(2 << 20) })
        for _ in 0..<2 {
            try disk.reopen()
            #expect(try disk.read("cold") == [cold])
            #expect(try disk.read("late") == [cold])
            #expect(try disk.read("hot", from: UInt64(records.count)).count > 5)
        }
    }

    /// A segment is kept as long as any log has a record in it, and the older of two checkpoints is as good as the newer.
    @Test func anyOfTheLastTwoCheckpointsStarts() throws {
        let disk = try StoreOnDisk()
        let records = try disk.fill("hot", segments: 6, recordBytes: Self.recordBytes)
        let kept = records.count - 4
        try disk.trim("hot", before: RecordOffset(rawValue: UInt64(kept)))
        disk.settle { disk.segmentFileCount <= 3 }
        let names = try PosixFileSystem().list("\(disk.directory)/checkpoint").filter { $0.hasSuffix(".ckpt") }
        #expect(names.count == 2)
        truncate("\(disk.directory)/checkpoint/\(names[1])", 50)
        try disk.reopen()
        #expect(disk.store.wal.recovery.ignoredCheckpoints == [names[1]])
        #expect(try disk.read("hot", from: UInt64(kept)) == Array(records[kept...]))
    }

    @Test func aSegmentThatIsKeptAndMissingIsDamage() throws {
        let disk = try StoreOnDisk()
        try disk.append("cold", [1])
        disk.store.relocation.refused.insert(.zero)
        let records = try disk.fill("hot", segments: 5, recordBytes: Self.recordBytes)
        try disk.trim("hot", before: RecordOffset(rawValue: UInt64(records.count - 2)))
        disk.settle { disk.segmentFileCount <= 4 }
        unlink("\(disk.directory)/wal/\(DataDirectory.segmentName(.zero))")
        #expect(throws: CommitLogError.self) { try disk.reopen() }
    }

    @Test func aReadThatIsUnderWayInASegmentThatGoesIsToldOfTheTrim() throws {
        let disk = try StoreOnDisk()
        let records = try disk.fill("hot", segments: 9, recordBytes: Self.recordBytes)
        let sink = CollectingSink(limit: 1)
        let read = disk.store.beginRead(try #require(disk.slot("hot")), from: .zero)
        guard case .waiting = disk.store.step(read, into: sink) else { throw DeletedLog() }
        let kept = RecordOffset(rawValue: UInt64(records.count - 5))
        try disk.trim("hot", before: kept)
        disk.settle { disk.segmentFileCount <= 3 }
        guard case .trimmed(kept) = disk.store.step(read, into: sink) else {
            Issue.record("the read was not told of the trim")
            return
        }
    }

    // MARK: Retention

    @Test func theNumberOfRecordsIsKeptExactly() throws {
        let disk = try StoreOnDisk()
        try disk.make("a", Retention(records: 7))
        for number in 0..<20 { try disk.append("a", uniqueRecord("a", number)) }
        disk.settle { disk.summary("a").first.rawValue == 13 }
        #expect(try disk.read("a", from: 13) == (13..<20).map { uniqueRecord("a", $0) })
        try disk.reopen()
        #expect(disk.summary("a").first.rawValue == 13)
    }

    @Test func bytesAreKeptAndWhatIsBeyondThemGoes() throws {
        let disk = try StoreOnDisk()
        try disk.make("a", Retention(bytes: 3_000_000))
        let records = try disk.fill("a", segments: 6, recordBytes: Self.recordBytes)
        disk.settle { disk.summary("a").first.rawValue > 0 && disk.segmentFileCount <= 5 }
        let first = disk.summary("a").first.rawValue
        let kept = records[Int(first)...].reduce(0) { $0 + $1.count }
        #expect(kept >= 3_000_000 && kept < 3_000_000 + 2 * (2 << 20))
        #expect(try disk.read("a", from: first) == Array(records[Int(first)...]))
    }

    @Test func whatIsTooOldGoesAlsoAfterARestart() throws {
        let disk = try StoreOnDisk()
        try disk.make("a", Retention(ageSeconds: 1))
        for number in 0..<5 { try disk.append("a", uniqueRecord("a", number)) }
        try disk.reopen()
        disk.settle { disk.summary("a").first.rawValue == 5 }
        #expect(disk.summary("a").next.rawValue == 5)
        try disk.append("a", [1])
        #expect(disk.summary("a").first.rawValue >= 5)
    }

    @Test func youngRecordsStay() throws {
        let disk = try StoreOnDisk()
        try disk.make("a", Retention(ageSeconds: 86_400, bytes: 1 << 30, records: 100))
        for number in 0..<5 { try disk.append("a", uniqueRecord("a", number)) }
        let end = SystemClock().monotonicMicroseconds + 3 * LogStoreLimits.retentionMicroseconds
        disk.settle { SystemClock().monotonicMicroseconds > end }
        #expect(disk.summary("a").first == .zero)
    }
}
