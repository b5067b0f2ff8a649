import CommitLog
import Glibc
import LogFormat
import Testing

@testable import LogStore

/// What is kept of mostly dead segments is copied to the end of the log, and reads as before; then the segments go.
@Suite struct RelocationTests {
    private static let recordBytes = 120_000

    /// A cold log of twenty records over two segments, behind a hot one that was trimmed.
    private func coldStore(_ disk: StoreOnDisk) throws -> [[UInt8]] {
        var cold: [[UInt8]] = []
        for segments in [2, 3, 5] {
            for _ in 0..<(segments == 5 ? 4 : 8) {
                cold.append(uniqueRecord("cold", cold.count, bytes: 3_000))
                try disk.append("cold", cold[cold.count - 1])
            }
            try disk.fill("hot", segments: segments, recordBytes: Self.recordBytes)
        }
        return cold
    }

    private func trimHot(_ disk: StoreOnDisk) throws {
        try disk.trim("hot", before: disk.summary("hot").next)
    }

    @Test func aColdLogDoesNotPinTheSpaceOfHotOnes() throws {
        let disk = try StoreOnDisk()
        let cold = try coldStore(disk)
        let before = disk.segmentFileCount
        try trimHot(disk)
        // The active one, and the spare.
        disk.settle { disk.segmentFileCount <= 2 }
        #expect(before >= 5)
        #expect(disk.store.packed.segments >= 3)
        for _ in 0..<2 {
            for from in cold.indices {
                #expect(try disk.read("cold", from: UInt64(from)) == Array(cold[from...]))
            }
            #expect(disk.summary("cold").records == UInt64(cold.count))
            try disk.reopen()
        }
        #expect(try disk.append("cold", [1]).first.rawValue == UInt64(cold.count))
        #expect(try disk.read("cold") == cold + [[1]])
    }

    @Test func timesAndSettingsStayAsTheyWere() throws {
        let disk = try StoreOnDisk()
        try disk.make("cold", Retention(records: 1000))
        let cold = try coldStore(disk)
        let timestamps = try disk.timestamps("cold")
        let summary = disk.summary("cold")
        try trimHot(disk)
        disk.settle { disk.segmentFileCount <= 2 }
        #expect(try disk.timestamps("cold") == timestamps)
        #expect(disk.summary("cold") == summary)
        try disk.reopen()
        #expect(try disk.timestamps("cold") == timestamps)
        #expect(disk.summary("cold") == summary)
        let search = disk.store.beginRead(try #require(disk.slot("cold")), at: .time(timestamps[9]))
        let sink = CollectingSink(limit: 1)
        while disk.store.step(search, into: sink) == .waiting { disk.settle { search.fetch == .none } }
        #expect(sink.records == [cold[9]])
    }

    /// The index files of segments with copies in them are made anew from their frames.
    @Test func copiesAreFoundWithoutIndexFiles() throws {
        let disk = try StoreOnDisk()
        let cold = try coldStore(disk)
        try trimHot(disk)
        disk.settle { disk.segmentFileCount <= 2 }
        let more = try disk.fill("hot", segments: 4, recordBytes: Self.recordBytes)
        disk.store.relocation.refused.formUnion(disk.segmentPositions)
        disk.settle { disk.indexFileCount == disk.store.wal.segments.count - 1 }
        let extents = disk.extents("cold")
        for name in try PosixFileSystem().list("\(disk.directory)/wal") where name.hasSuffix(".idx") {
            try PosixFileSystem().remove("\(disk.directory)/wal/\(name)")
        }
        try disk.reopen()
        #expect(disk.extents("cold") == extents)
        #expect(try disk.read("cold") == cold)
        #expect(try disk.read("hot", from: disk.summary("hot").first.rawValue) == more)
        try disk.reopen()
        #expect(disk.extents("cold") == extents)
    }

    /// Copies are copied again when their segment is mostly dead in its turn.
    @Test func copiesArePackedAgain() throws {
        let disk = try StoreOnDisk()
        let cold = try coldStore(disk)
        for round in 1...3 {
            try trimHot(disk)
            disk.settle { disk.segmentFileCount <= 2 }
            #expect(try disk.read("cold") == cold, "round \(round)")
            let packed = disk.store.packed.segments
            try disk.fill("hot", segments: 4, recordBytes: Self.recordBytes)
            try disk.append("late \(round)".replacing(" ", with: "-"), [UInt8(round)])
            try disk.reopen()
            #expect(try disk.read("cold") == cold, "round \(round)")
            if round > 1 { #expect(packed > 0) }
        }
        for round in 1...3 { #expect(try disk.read("late-\(round)") == [[UInt8(round)]]) }
    }

    /// Small batches leave most of their blocks empty.
    @Test func paddingIsNotKept() throws {
        let disk = try StoreOnDisk(segmentMiB: 1)
        var records: [[UInt8]] = []
        while disk.store.wal.segments.count < 4 {
            records.append(uniqueRecord("a", records.count))
            try disk.append("a", records[records.count - 1])
        }
        disk.settle { disk.segmentFileCount <= 2 }
        #expect(try disk.read("a") == records)
        try disk.reopen()
        #expect(try disk.read("a") == records)
    }

    @Test func aReadGoesOnWhenItsSegmentIsPackedAndRemoved() throws {
        let disk = try StoreOnDisk()
        let cold = try coldStore(disk)
        let sink = PausingSink()
        let read = disk.store.beginRead(try #require(disk.slot("cold")), from: .zero)
        sink.left = 3
        while sink.left > 0 { if disk.store.step(read, into: sink) == .waiting { disk.settle { read.fetch == .none } } }
        try trimHot(disk)
        disk.settle { disk.segmentFileCount <= 2 }
        sink.left = .max
        while true {
            let progress = disk.store.step(read, into: sink)
            if progress == .finished { break }
            guard progress == .waiting else { throw Refused(outcome: .pendingLimit) }
            disk.settle { read.fetch == .none }
        }
        #expect(sink.records == cold)
    }

    @Test func whatIsTrimmedOrDeletedMeanwhileIsNotBroughtBack() throws {
        let disk = try StoreOnDisk()
        let cold = try coldStore(disk)
        try disk.append("gone", [1])
        try trimHot(disk)
        disk.settle { disk.store.packed.bytes > 0 }
        try disk.trim("cold", before: RecordOffset(rawValue: 11))
        guard case .staged = disk.store.delete(try #require(disk.slot("gone"))) else { throw DeletedLog() }
        disk.settle { disk.segmentFileCount <= 2 && disk.slot("gone") == nil }
        for _ in 0..<2 {
            #expect(try disk.read("cold", from: 11) == Array(cold[11...]))
            #expect(throws: TrimmedRead(first: RecordOffset(rawValue: 11))) { try disk.read("cold") }
            #expect(disk.slot("gone") == nil)
            try disk.reopen()
        }
    }

    @Test func aSegmentWithADamagedRecordIsKeptAndTheRestReads() throws {
        let disk = try StoreOnDisk()
        let cold = try coldStore(disk)
        let segment = disk.segmentPositions[0]
        disk.flip("cold 5 ", in: segment)
        // What is read comes from the disk then.
        try disk.reopen()
        try trimHot(disk)
        disk.settle { disk.store.relocation.refused.contains(segment) && disk.segmentFileCount <= 3 }
        #expect(try disk.read("cold", limit: 4) == Array(cold[..<4]))
        #expect(throws: DamagedRead.self) { try disk.read("cold", from: 5) }
        #expect(try disk.read("cold", from: 8) == Array(cold[8...]))
        #expect(disk.segmentPositions.first == segment)
    }

    /// What the copied part of a log is followed by in time is known, though not by the part that could not be copied.
    @Test func whatIsTooOldGoesAlsoWhereASegmentCouldNotBePackedWhole() throws {
        let disk = try StoreOnDisk()
        for number in 0..<8 { try disk.append("cold", uniqueRecord("cold", number, bytes: 3_000)) }
        try disk.fill("hot", segments: 4, recordBytes: Self.recordBytes)
        let segment = disk.segmentPositions[0]
        disk.flip("cold 5 ", in: segment)
        try disk.reopen()
        try trimHot(disk)
        disk.settle { disk.store.relocation.refused.contains(segment) && disk.extents("cold").count == 2 }
        try disk.append("cold", [1])
        let change = disk.store.configure(
            try #require(disk.slot("cold")), LogSettings(retention: Retention(ageSeconds: 1)))
        guard case .staged = change else { throw DeletedLog() }
        let end = SystemClock().monotonicMicroseconds + 20_000_000
        disk.settle { disk.summary("cold").first.rawValue == 9 || SystemClock().monotonicMicroseconds > end }
        #expect(disk.summary("cold").first.rawValue == 9)
    }

    /// A log that was deleted when its last part was in the active segment pins nothing.
    @Test func theLastPartOfADeletedLogGoesToo() throws {
        let disk = try StoreOnDisk()
        try disk.append("gone", [1])
        guard case .staged = disk.store.delete(try #require(disk.slot("gone"))) else { throw DeletedLog() }
        try disk.fill("hot", segments: 4, recordBytes: Self.recordBytes)
        try trimHot(disk)
        disk.settle { disk.segmentFileCount <= 2 }
        #expect(disk.store.packed.segments == 0)
    }
}

/// Takes as many records as it is let, and asks for more later.
private final class PausingSink: RecordSink {
    var records: [[UInt8]] = []
    var left = 0

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        guard left > 0, offset.rawValue == UInt64(records.count) else { return false }
        records.append(Array(record))
        left -= 1
        return true
    }
}

extension StoreOnDisk {
    fileprivate func timestamps(_ log: String) throws -> [Timestamp] {
        let sink = CollectingSink(limit: .max)
        let read = store.beginRead(try #require(slot(log)), from: .zero)
        while store.step(read, into: sink) == .waiting { settle { read.fetch == .none } }
        return sink.timestamps
    }

    fileprivate func extents(_ log: String) -> [IndexExtent] { store.table[slot(log)!].extents }

    /// Changes a byte of the first record with these letters in a segment.
    fileprivate func flip(_ letters: String, in segment: Position) {
        let path = DataDirectory(path: directory).segmentPath(segment)
        let file = open(path, O_RDWR)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 2 << 20)
        let count = pread(file, &bytes, bytes.count, 0)
        let letters = Array(letters.utf8)
        let place = (0..<count - letters.count).first { bytes[$0..<$0 + letters.count].elementsEqual(letters) }!
        pwrite(file, [bytes[place] ^ 1], 1, off_t(place))
        fsync(file)
    }
}
