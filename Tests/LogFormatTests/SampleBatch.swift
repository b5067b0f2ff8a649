import Glibc
import Testing

@testable import LogFormat

/// One frame with all that it holds, as a value that can be compared.
struct SampleFrame: Equatable {
    var kind = FrameKind.append
    var logID = LogID(rawValue: 7)
    var firstOffset = RecordOffset(rawValue: 40)
    var timestamp = Timestamp(rawValue: 1_795_000_000_000_000)
    var fields: [SampleField] = []
    var records: [[UInt8]] = []

    var header: FrameHeader {
        FrameHeader(
            kind: kind, recordCount: UInt32(records.count), logID: logID, firstOffset: firstOffset,
            timestamp: timestamp, payloadBytes: UInt32(records.reduce(0) { $0 + $1.count }))
    }

    var encodedFields: [UInt8] {
        var writer = FieldWriter()
        for field in fields { writer.append(field.kind, field.value) }
        return writer.bytes
    }

    var frameBytes: Int {
        FrameHeader.frameBytes(
            fieldsBytes: encodedFields.count, recordCount: records.count, payloadBytes: Int(header.payloadBytes))
    }
}

extension SampleFrame {
    /// All that a decoded frame says.
    init(_ view: FrameView) {
        self.init(
            kind: view.header.kind, logID: view.header.logID, firstOffset: view.header.firstOffset,
            timestamp: view.header.timestamp,
            fields: view.fields.map { SampleField(kind: $0.kind, value: [UInt8]($0.value)) })
        view.forEachRecord(from: 0) { _, record in
            records.append([UInt8](record))
            return true
        }
    }
}

struct SampleField: Equatable {
    var kind: FieldKind
    var value: [UInt8]
}

/// A header and frames, encoded with the code under test.
struct SampleBatch: Equatable {
    var number = BatchNumber(rawValue: 12)
    var durableThrough = BatchNumber(rawValue: 11)
    var storeID = StoreID(first: 0x0706_0504_0302_0100, second: 0x0F0E_0D0C_0B0A_0908)
    var epoch = Epoch(rawValue: 3)
    var previousCRC: UInt32 = 0xCAFE_F00D
    var position = Position(rawValue: 4096)
    var frames: [SampleFrame]

    /// The batch with the zeros that fill its last block.
    func encoded(blockBytes: Int = 4096) -> [UInt8] {
        let frameBytes = frames.reduce(0) { $0 + $1.frameBytes }
        let staging = StagingBuffer(capacityBytes: BatchHeader.byteCount + frameBytes + blockBytes)
        for frame in frames { staging.add(frame) }
        let header = staging.builder.seal(
            number: number, durableThrough: durableThrough, storeID: storeID, epoch: epoch, previousCRC: previousCRC,
            position: position, blockBytes: blockBytes)
        return staging.bytes(header.paddedBytes(blockBytes: blockBytes))
    }

    /// The batch without padding.
    func encodedExactly() -> [UInt8] {
        Array(encoded(blockBytes: 8))
    }

    /// Several frames, with and without fields, records and padding.
    static let several = SampleBatch(frames: [
        SampleFrame(
            kind: .create, firstOffset: .zero,
            fields: [SampleField(kind: .logName, value: Array("orders".utf8))]),
        SampleFrame(
            fields: [
                SampleField(kind: .producer, value: Array("p-1".utf8)), SampleField(kind: .group, value: Array(0..<16)),
            ],
            records: [Array("hello".utf8), [], Array("world!!".utf8), [0, 255, 0]]),
        SampleFrame(firstOffset: RecordOffset(rawValue: 44), records: [[0x42]]),
        SampleFrame(kind: .seal, logID: .none, firstOffset: .zero),
    ])
}

extension SampleBatch {
    /// Decodes a whole batch, or throws what the code under test throws.
    init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var view = try BatchView(checking: bytes)
        self.init(
            number: view.header.number, durableThrough: view.header.durableThrough, storeID: view.header.storeID,
            epoch: view.header.epoch, previousCRC: view.header.previousCRC, position: view.header.position, frames: [])
        while let frame = try view.nextFrame() { frames.append(SampleFrame(frame)) }
    }

    init(decoding bytes: [UInt8]) throws(FormatError) {
        self = try withGuarded(bytes) { bytes throws(FormatError) in try SampleBatch(decoding: bytes) }
    }
}

/// A staging buffer with a builder on it. It begins with stale bytes, as a reused one does.
final class StagingBuffer {
    let storage: UnsafeMutableRawPointer
    var builder: BatchBuilder

    init(capacityBytes: Int) {
        storage = .allocate(byteCount: capacityBytes, alignment: 4096)
        storage.initializeMemory(as: UInt8.self, repeating: 0xA5, count: capacityBytes)
        builder = BatchBuilder(storage: storage, capacityBytes: capacityBytes)
    }

    deinit { storage.deallocate() }

    /// Adds a frame and returns its offset in the batch.
    @discardableResult
    func add(_ frame: SampleFrame) -> Int {
        frame.encodedFields.withUnsafeBytes { fields in
            builder.addFrame(frame.header, fields: fields) { lengths, payload in
                var end = 0
                for (index, record) in frame.records.enumerated() {
                    lengths.storeBytes(of: UInt32(record.count).littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                    UnsafeMutableRawBufferPointer(rebasing: payload[end...]).copyBytes(from: record)
                    end += record.count
                }
            }
        }
    }

    func bytes(_ count: Int) -> [UInt8] {
        [UInt8](UnsafeRawBufferPointer(start: storage, count: count))
    }
}

/// Lends bytes that end where memory ends: reading one byte further kills the test.
func withGuarded<Result, Failure: Error>(
    _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
) throws(Failure) -> Result {
    let page = 4096
    let dataBytes = (bytes.count + page - 1) / page * page
    let region = mmap(nil, dataBytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
    precondition(region != MAP_FAILED && mprotect(region + dataBytes, page, PROT_NONE) == 0)
    defer { munmap(region, dataBytes + page) }
    let buffer = UnsafeMutableRawBufferPointer(start: region + (dataBytes - bytes.count), count: bytes.count)
    buffer.copyBytes(from: bytes)
    return try body(UnsafeRawBufferPointer(buffer))
}

extension [UInt8] {
    /// The same bytes with one bit turned over.
    func flippingBit(_ bit: Int) -> [UInt8] {
        var bytes = self
        bytes[bit / 8] ^= 1 << (bit % 8)
        return bytes
    }

    func integer<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type = Value.self) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }

    mutating func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self) }
    }

    /// Gives the frame at `offset` the checksum of what it now holds.
    mutating func repairFrameChecksum(at offset: Int) {
        let end = offset + Int(integer(at: offset, as: UInt32.self))
        store(checksum(of: offset + 8..<end), at: offset + 4)
    }

    /// Gives the batch the checksum of what it now holds.
    mutating func repairBatchChecksum() {
        store(checksum(of: 8..<Int(integer(at: 8, as: UInt32.self))), at: 4)
    }

    func checksum(of range: Range<Int>) -> UInt32 {
        withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}

/// What reading was refused with; nil if it was not. For loops over very many bytes, where `#expect` is too slow.
func refusal(_ read: () throws(FormatError) -> Void) -> FormatError? {
    do {
        try read()
        return nil
    } catch {
        return error
    }
}

/// Fails unless reading is refused with this error.
func expectRefusal(
    _ expected: FormatError, _ comment: @autoclosure () -> Comment = "",
    sourceLocation: SourceLocation = #_sourceLocation,
    _ read: () throws(FormatError) -> Void
) {
    let error = refusal(read)
    guard error != expected else { return }
    let found = error.map { "refused: \($0)" } ?? "accepted"
    Issue.record("\(comment()): \(found), not: \(expected)", sourceLocation: sourceLocation)
}

/// Fails unless the process ended by a trap with this message.
func expectTrap(_ message: String, _ result: ExitTest.Result?, sourceLocation: SourceLocation = #_sourceLocation) {
    let output = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(output.contains(message), sourceLocation: sourceLocation)
}
