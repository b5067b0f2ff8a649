import Glibc

/// The records of one request, checked and counted, still lying in the request's body.
///
/// It borrows the body's bytes, which must outlive it. Nothing is copied until the records are staged.
@safe
public struct RecordBody {
    /// How a body is cut into records.
    public enum Encoding: Sendable {
        /// The whole body, byte for byte, is one record.
        case whole
        /// Each line is a record: LF ends a line, a CR before it is not part of the record, empty lines are skipped.
        case lines
        /// Each record is a little-endian u32 length and that many bytes.
        case framed
    }

    /// Why a body is no sequence of records.
    public enum Refusal: Error, Equatable {
        case empty
        /// The framed form ends in the middle of a record that begins at this byte.
        case malformed(atByte: Int)
        case recordTooLarge(index: Int, bytes: Int)
        case tooManyRecords
    }

    public let recordCount: Int
    /// Bytes of all the records, without what separates them.
    public let payloadBytes: Int
    private let bytes: UnsafeRawBufferPointer
    private let encoding: Encoding

    public init(
        _ bytes: UnsafeRawBufferPointer, encoding: Encoding, recordBytesMax: Int, recordCountMax: Int
    ) throws(Refusal) {
        unsafe self.bytes = unsafe bytes
        self.encoding = encoding
        var cursor = unsafe RecordCursor(bytes, encoding)
        var count = 0
        var total = 0
        while let record = cursor.next() {
            guard record.count <= recordBytesMax else { throw .recordTooLarge(index: count, bytes: record.count) }
            count += 1
            total += record.count
            guard count <= recordCountMax else { throw .tooManyRecords }
        }
        if let place = cursor.malformedAt { throw .malformed(atByte: place) }
        guard count > 0 else { throw .empty }
        recordCount = count
        payloadBytes = total
    }

    /// Writes the record lengths (u32 each) and the records one behind the other.
    func write(lengths: UnsafeMutableRawBufferPointer, payload: UnsafeMutableRawBufferPointer) {
        var cursor = unsafe RecordCursor(bytes, encoding)
        var index = 0
        var place = 0
        while let record = cursor.next() {
            unsafe lengths.storeBytes(
                of: UInt32(record.count).littleEndian, toByteOffset: index * 4, as: UInt32.self)
            if !record.isEmpty {
                unsafe memcpy(payload.baseAddress! + place, bytes.baseAddress! + record.lowerBound, record.count)
            }
            index += 1
            place += record.count
        }
        assert(index == recordCount && place == payloadBytes)
    }
}

/// Walks the records of a body, giving the range of each.
@safe
private struct RecordCursor {
    private let bytes: UnsafeRawBufferPointer
    private let encoding: RecordBody.Encoding
    private var offset = 0
    /// Where the framed form broke off.
    private(set) var malformedAt: Int?

    init(_ bytes: UnsafeRawBufferPointer, _ encoding: RecordBody.Encoding) {
        unsafe self.bytes = unsafe bytes
        self.encoding = encoding
    }

    mutating func next() -> Range<Int>? {
        switch encoding {
        case .whole: nextWhole()
        case .lines: nextLine()
        case .framed: nextFramed()
        }
    }

    private mutating func nextWhole() -> Range<Int>? {
        guard unsafe offset < bytes.count else { return nil }
        unsafe offset = bytes.count
        return 0..<offset
    }

    private mutating func nextLine() -> Range<Int>? {
        let count = unsafe bytes.count
        while offset < count {
            let start = offset
            var end = count
            offset = count
            if let newline = unsafe memchr(bytes.baseAddress! + start, 0x0A, count - start) {
                end = unsafe UnsafeRawPointer(newline) - bytes.baseAddress!
                offset = end + 1
            }
            if unsafe end > start && bytes[end - 1] == 0x0D { end -= 1 }
            if end > start { return start..<end }
        }
        return nil
    }

    private mutating func nextFramed() -> Range<Int>? {
        let remaining = unsafe bytes.count - offset
        guard remaining > 0 else { return nil }
        guard remaining >= 4 else { return malformed() }
        let length = unsafe Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        guard remaining - 4 >= length else { return malformed() }
        let start = offset + 4
        offset = start + length
        return start..<offset
    }

    private mutating func malformed() -> Range<Int>? {
        malformedAt = offset
        return nil
    }
}
