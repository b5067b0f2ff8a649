/// What a frame says. A kind that is not listed here refuses the batch that holds it.
public enum FrameKind: UInt8, CaseIterable, Sendable {
    /// Records at the end of a log.
    case append = 1
    /// A new log.
    case create
    /// Another configuration of a log.
    case configure
    /// A log that takes no more records.
    case close
    /// A log that is gone, its id never to be used again.
    case delete
    /// A log whose records below `firstOffset` are gone.
    case trim
    /// Records copied from an old segment, with their old offsets.
    case moved
    /// All batches before this one are durable.
    case seal
    /// A recovery began a new epoch.
    case epoch
    /// Records that a repair could not keep: as many as the field `count` says, from `firstOffset` on. With the id of a
    /// log that is not there: that log was lost whole, and its id is not given again.
    case lost
}

/// The first 48 bytes of a frame.
///
///      0 u32 byte count     4 u32 CRC over 8..<byte count
///      8 u8 kind   9 u8 flags   10 u16 fields bytes   12 u32 record count
///     16 u64 log id   24 u64 first offset   32 u64 timestamp   40 u32 payload bytes   44 u32 reserved
public struct FrameHeader: Equatable, Sendable {
    /// Bytes that the header takes on disk.
    public static let byteCount = 48
    /// The most bytes of fields that a frame can have: the largest multiple of 8 that a u16 holds.
    public static let fieldsBytesMax = 65_528

    public var kind: FrameKind
    public var recordCount: UInt32
    public var logID: LogID
    public var firstOffset: RecordOffset
    public var timestamp: Timestamp
    /// The bytes of all records together.
    public var payloadBytes: UInt32
    /// The encoded fields, a multiple of 8. `BatchBuilder.addFrame` sets it.
    public internal(set) var fieldsBytes: UInt16 = 0

    public init(
        kind: FrameKind, recordCount: UInt32, logID: LogID, firstOffset: RecordOffset, timestamp: Timestamp,
        payloadBytes: UInt32
    ) {
        self.kind = kind
        self.recordCount = recordCount
        self.logID = logID
        self.firstOffset = firstOffset
        self.timestamp = timestamp
        self.payloadBytes = payloadBytes
    }

    /// Bytes of the whole frame, padding included.
    public var byteCount: UInt32 { UInt32(FrameLayout(self).byteCount) }

    /// Bytes of a whole frame with these parts, padding included.
    public static func frameBytes(fieldsBytes: Int, recordCount: Int, payloadBytes: Int) -> Int {
        roundUp(byteCount + fieldsBytes + 4 * recordCount + payloadBytes, toMultipleOf: 8)
    }

    /// Reads a header whose kind is known and whose lengths agree with each other. The checksum is not looked at.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.byteCount else {
            throw .truncated(needed: Self.byteCount, available: bytes.count)
        }
        let kind: UInt8 = unsafe bytes.integer(at: 8)
        let flags: UInt8 = unsafe bytes.integer(at: 9)
        guard let known = FrameKind(rawValue: kind) else { throw .unknownKind(kind) }
        guard flags == 0 else { throw .unknownFlags(flags) }
        unsafe self.init(
            kind: known, recordCount: bytes.integer(at: 12), logID: LogID(rawValue: bytes.integer(at: 16)),
            firstOffset: RecordOffset(rawValue: bytes.integer(at: 24)),
            timestamp: Timestamp(rawValue: bytes.integer(at: 32)), payloadBytes: bytes.integer(at: 40))
        fieldsBytes = unsafe bytes.integer(at: 10)
        guard unsafe bytes.integer(at: 44, as: UInt32.self) == 0 else { throw .nonZeroReserved }
        let byteCount: UInt32 = unsafe bytes.integer(at: 0)
        guard FrameLayout(self).byteCount == Int(byteCount) && hasSaneLengths else { throw .badLength }
    }

    /// Fields keep what follows them aligned, and the offsets of all records exist.
    var hasSaneLengths: Bool {
        fieldsBytes % 8 == 0 && !firstOffset.rawValue.addingReportingOverflow(UInt64(recordCount)).overflow
    }

    /// Writes everything but the checksum, which covers what is written here and behind it.
    func encode(at start: UnsafeMutableRawPointer) {
        unsafe start.store(byteCount, at: 0)
        unsafe start.store(kind.rawValue, at: 8)
        unsafe start.store(UInt8(0), at: 9)
        unsafe start.store(fieldsBytes, at: 10)
        unsafe start.store(recordCount, at: 12)
        unsafe start.store(logID.rawValue, at: 16)
        unsafe start.store(firstOffset.rawValue, at: 24)
        unsafe start.store(timestamp.rawValue, at: 32)
        unsafe start.store(payloadBytes, at: 40)
        unsafe start.store(UInt32(0), at: 44)
    }

    /// The checksum of a frame of which `bytes` holds at least `byteCount` bytes.
    static func checksum(of bytes: UnsafeRawBufferPointer, byteCount: Int) -> UInt32 {
        unsafe CRC32C.checksum(bytes.part(8..<byteCount))
    }
}

/// Where the parts of a frame lie, counted from its first byte.
struct FrameLayout {
    let fields: Range<Int>
    let lengths: Range<Int>
    let payload: Range<Int>
    let padding: Range<Int>

    init(_ header: FrameHeader) {
        fields = FrameHeader.byteCount..<FrameHeader.byteCount + Int(header.fieldsBytes)
        lengths = fields.upperBound..<fields.upperBound + 4 * Int(header.recordCount)
        payload = lengths.upperBound..<lengths.upperBound + Int(header.payloadBytes)
        padding = payload.upperBound..<roundUp(payload.upperBound, toMultipleOf: 8)
    }

    var byteCount: Int { padding.upperBound }
}
