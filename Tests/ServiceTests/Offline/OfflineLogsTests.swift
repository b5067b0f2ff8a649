import CommitLog
import LogFormat
import Testing

@testable import AppendLogService

/// Frames whose checksums are right, and what is missing between them.
@Suite struct OfflineLogsTests {
    private struct Frame {
        var kind: FrameKind
        var log: UInt64
        var first: UInt64 = 0
        var count = 0
        var timestamp: UInt64 = 1
        var name: String?
    }

    private static func create(_ log: UInt64, _ name: String?, timestamp: UInt64 = 1) -> Frame {
        Frame(kind: .create, log: log, timestamp: timestamp, name: name)
    }

    private static func append(_ log: UInt64, from first: UInt64, count: Int, timestamp: UInt64 = 1) -> Frame {
        Frame(kind: .append, log: log, first: first, count: count, timestamp: timestamp)
    }

    /// Builds a batch of the frames and follows it; each record has 3 bytes.
    private func follow(_ frames: [Frame]) throws -> (logs: OfflineLogs, last: OfflineLogs.Taking) {
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { storage.deallocate() }
        let builder = BatchBuilder(storage: storage.baseAddress!, capacityBytes: storage.count)
        for frame in frames {
            var fields = FieldWriter()
            if let name = frame.name { fields.append(.logName, Array(name.utf8)) }
            let header = FrameHeader(
                kind: frame.kind, recordCount: UInt32(frame.count), logID: LogID(rawValue: frame.log),
                firstOffset: RecordOffset(rawValue: frame.first), timestamp: Timestamp(rawValue: frame.timestamp),
                payloadBytes: UInt32(3 * frame.count))
            _ = fields.bytes.withUnsafeBytes { bytes in
                builder.addFrame(header, fields: bytes) { lengths, payload in
                    for index in 0..<frame.count {
                        lengths.storeBytes(of: UInt32(3), toByteOffset: 4 * index, as: UInt32.self)
                    }
                    payload.initializeMemory(as: UInt8.self, repeating: 7)
                }
            }
        }
        let sealed = builder.seal(
            number: BatchNumber(rawValue: 1), durableThrough: .zero, storeID: StoreID(first: 1, second: 2),
            epoch: Epoch(rawValue: 1), previousCRC: 0, position: .zero, blockBytes: 4096)
        var batch = try BatchView(checking: UnsafeRawBufferPointer(rebasing: storage[..<Int(sealed.byteCount)]))
        var logs = OfflineLogs()
        var last = OfflineLogs.Taking()
        while let frame = try batch.nextFrame() { last = logs.take(frame, at: .zero) }
        return (logs, last)
    }

    @Test func recordsAndBytesAreCountedForEachLog() throws {
        let (logs, last) = try follow([
            Self.create(1, "a"), Self.append(1, from: 0, count: 2, timestamp: 2), Self.create(2, "b", timestamp: 3),
            Self.append(2, from: 0, count: 1, timestamp: 3), Self.append(1, from: 2, count: 3, timestamp: 4),
            Frame(kind: .seal, log: 0), Frame(kind: .epoch, log: 0),
        ])
        #expect(logs.byID.count == 2 && last == OfflineLogs.Taking())
        let (first, second) = (logs.byID[LogID(rawValue: 1)], logs.byID[LogID(rawValue: 2)])
        #expect(first?.name == Array("a".utf8) && first?.next.rawValue == 5 && first?.bytes == 15)
        #expect(second?.name == Array("b".utf8) && second?.next.rawValue == 1 && second?.bytes == 3)
    }

    @Test(arguments: ["an overlap", "a log made twice", "a log without a name", "a name twice"])
    func aContradictionIsNotKept(_ what: String) throws {
        let frames =
            switch what {
            case "an overlap":
                [Self.create(1, "a"), Self.append(1, from: 0, count: 2), Self.append(1, from: 1, count: 1)]
            case "a log made twice": [Self.create(1, "a"), Self.create(1, "b")]
            case "a name twice": [Self.create(1, "a"), Self.create(2, "a")]
            default: [Self.create(1, nil)]
            }
        #expect(try follow(frames).last.refusal != nil)
    }

    @Test func timeThatGoesBackIsSaidAndKept() throws {
        let (logs, last) = try follow([
            Self.create(1, "a"), Self.append(1, from: 0, count: 1, timestamp: 5),
            Self.append(1, from: 1, count: 1, timestamp: 4),
        ])
        #expect(last.complaint != nil && last.refusal == nil && logs.byID[LogID(rawValue: 1)]?.next.rawValue == 2)
    }

    @Test func aGapBetweenRecordsIsSaidExactly() throws {
        let (logs, last) = try follow([
            Self.create(1, "a"), Self.append(1, from: 0, count: 2), Self.append(1, from: 7, count: 1),
        ])
        let id = LogID(rawValue: 1)
        #expect(last.insertions == [.lost(id, RecordOffset(rawValue: 2)..<RecordOffset(rawValue: 7))])
        #expect(logs.byID[id]?.next.rawValue == 8 && logs.byID[id]?.recordCount == 3)
    }

    @Test func recordsOfALogWhoseMakingIsGoneAreKeptUnderANameThatSaysSo() throws {
        let (logs, last) = try follow([Self.create(1, "a"), Self.append(7, from: 3, count: 1, timestamp: 9)])
        let id = LogID(rawValue: 7)
        #expect(
            last.insertions == [
                .create(id, name: Array("name-lost-7".utf8), created: Timestamp(rawValue: 9), isNameKnown: false),
                .lost(id, .zero..<RecordOffset(rawValue: 3)),
            ])
        #expect(logs.nextID == LogID(rawValue: 8))
    }

    @Test func aDamagedFrameAtTheEndOfItsLogIsLostAndElsewhereOnlyAHint() throws {
        var (logs, _) = try follow([Self.create(1, "a"), Self.create(2, "b"), Self.append(1, from: 0, count: 2)])
        func hint(_ log: UInt64, _ first: UInt64, _ count: UInt32) -> FrameHeader {
            FrameHeader(
                kind: .append, recordCount: count, logID: LogID(rawValue: log),
                firstOffset: RecordOffset(rawValue: first), timestamp: .zero, payloadBytes: 0)
        }
        logs.take(hint: hint(1, 2, 3), byteCount: 64)
        logs.take(hint: hint(1, 5, 1), byteCount: 64)
        // What fits nothing only bounds how many logs may have been made.
        logs.take(hint: hint(2, 9, 1), byteCount: 64)
        logs.take(hint: nil, byteCount: 120)
        #expect(logs.settle() == [.lost(LogID(rawValue: 1), RecordOffset(rawValue: 2)..<RecordOffset(rawValue: 6))])
        #expect(logs.unknownBytes == 184 && logs.nextID == LogID(rawValue: 3 + 184 / 56))
    }

    private static func moved(_ log: UInt64, from first: UInt64, count: Int) -> Frame {
        Frame(kind: .moved, log: log, first: first, count: count)
    }

    @Test func copiesStandForRecordsWhoseSegmentIsGone() throws {
        let (logs, last) = try follow([
            Self.create(1, "a"), Self.append(1, from: 10, count: 5), Self.moved(1, from: 0, count: 4),
            Self.moved(1, from: 6, count: 4), Self.moved(1, from: 11, count: 2), Self.moved(1, from: 13, count: 6),
        ])
        let log = try #require(logs.byID[LogID(rawValue: 1)])
        // 4 and 5 are nowhere; 11 to 14 are twice there and count once.
        #expect(logs.gaps[LogID(rawValue: 1)] == [RecordOffset(rawValue: 4)..<RecordOffset(rawValue: 6)])
        #expect(log.recordCount == 17 && log.bytes == 51 && log.next.rawValue == 19)
        // The copy must not be the first that is heard of its records.
        #expect(last.insertions == [.lost(LogID(rawValue: 1), RecordOffset(rawValue: 15)..<RecordOffset(rawValue: 19))])
    }

    @Test func aDamagedCopyOfRecordsThatAreThereLosesNothing() throws {
        var (logs, _) = try follow([Self.create(1, "a"), Self.append(1, from: 0, count: 5)])
        logs.take(
            hint: FrameHeader(
                kind: .moved, recordCount: 3, logID: LogID(rawValue: 1), firstOffset: RecordOffset(rawValue: 1),
                timestamp: .zero, payloadBytes: 0), byteCount: 64)
        #expect(logs.settle() == [] && logs.unknownBytes == 0)
    }
}
