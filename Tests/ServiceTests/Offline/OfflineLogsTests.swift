import LogFormat
import Testing
import WriteAheadLog

@testable import AppendLogService

/// Frames whose checksums are right and that contradict each other.
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
    private func follow(_ frames: [Frame]) throws -> OfflineLogs {
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { storage.deallocate() }
        var builder = BatchBuilder(storage: storage.baseAddress!, capacityBytes: storage.count)
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
        while let frame = try batch.nextFrame() { try logs.take(frame, at: .zero + 4096, in: "wal/x.seg") }
        return logs
    }

    @Test func recordsAndBytesAreCountedForEachLog() throws {
        let logs = try follow([
            Self.create(1, "a"), Self.append(1, from: 0, count: 2, timestamp: 2), Self.create(2, "b", timestamp: 3),
            Self.append(2, from: 0, count: 1, timestamp: 3), Self.append(1, from: 2, count: 3, timestamp: 4),
            Frame(kind: .seal, log: 0), Frame(kind: .epoch, log: 0),
        ])
        #expect(logs.byID.count == 2)
        let (first, second) = (logs.byID[LogID(rawValue: 1)], logs.byID[LogID(rawValue: 2)])
        #expect(first?.name == Array("a".utf8) && first?.next.rawValue == 5 && first?.bytes == 15)
        #expect(second?.name == Array("b".utf8) && second?.next.rawValue == 1 && second?.bytes == 3)
    }

    @Test(arguments: [
        "a gap", "an overlap", "records of no log", "a log made twice", "a log without a name", "time going back",
    ])
    func aContradictionIsDamageWithItsPlace(_ what: String) throws {
        let frames =
            switch what {
            case "a gap": [Self.create(1, "a"), Self.append(1, from: 1, count: 1)]
            case "an overlap":
                [Self.create(1, "a"), Self.append(1, from: 0, count: 2), Self.append(1, from: 1, count: 1)]
            case "records of no log": [Self.create(1, "a"), Self.append(2, from: 0, count: 1)]
            case "a log made twice": [Self.create(1, "a"), Self.create(1, "b")]
            case "a log without a name": [Self.create(1, nil)]
            default: [Self.create(1, "a", timestamp: 5), Self.append(1, from: 0, count: 1, timestamp: 4)]
            }
        do {
            _ = try follow(frames)
            Issue.record("\(what) was taken")
        } catch let error as WriteAheadLogError {
            guard case .damaged(let damage) = error else { throw error }
            #expect(damage.file == "wal/x.seg" && damage.position == .zero + 4096 && !damage.cause.isEmpty)
        }
    }

    @Test(arguments: [FrameKind.configure, .close, .delete, .trim, .moved])
    func aKindThatNothingWritesYetIsNotTakenForKnown(_ kind: FrameKind) {
        #expect(throws: WriteAheadLogError.self) { try follow([Self.create(1, "a"), Frame(kind: kind, log: 1)]) }
    }
}
