/// Whose records the frames of a store hold.
public enum SegmentContent: Sendable {
    /// Those of the logs that the service names.
    case namedLogs
    /// Those of a program that embeds the write-ahead log.
    case singleLog
}

/// The first 80 bytes of a segment file; the rest of its first block is zero.
///
///      0 magic "ALOGSEG1"         8 u32 format version    12 u32 block bytes
///     16 u64 compatible features 24 u64 incompatible features
///     32 store id                48 u64 position          56 u64 segment bytes
///     64 u64 created             72 u32 reserved          76 u32 CRC over 0..<76
///
/// The magic, the version and the checksum keep their places in every later version.
public struct SegmentHeader: Equatable, Sendable {
    /// Bytes that the header takes on disk.
    public static let byteCount = 80
    /// The format version that this code writes and reads.
    public static let version: UInt32 = 1
    /// The incompatible feature bits that this code understands.
    public static let knownIncompatibleFeatures = lostRecordsFeature | singleLogFeature
    /// Set where a frame of the kind `lost` is in the segment.
    public static let lostRecordsFeature: UInt64 = 1
    /// Set where the segment holds the records of a program that embeds the write-ahead log: one log without a name.
    public static let singleLogFeature: UInt64 = 2
    /// The smallest block: the logical sector of the oldest disks. Servers use 4096 or more.
    public static let blockBytesMin = 512

    private static let magic = UInt64(littleEndianBytes: "ALOGSEG1")

    public var formatVersion: UInt32
    /// Batches of this segment begin at multiples of this, counted from the start of the file. A power of two.
    public var blockBytes: UInt32
    /// Features that a reader may ignore.
    public var compatibleFeatures: UInt64
    /// Features that a reader must know.
    public var incompatibleFeatures: UInt64
    public var storeID: StoreID
    /// The position of the segment's first byte, this header's.
    public var position: Position
    /// The size of the file, a multiple of `blockBytes`.
    public var segmentBytes: UInt64
    public var created: Timestamp

    public init(
        blockBytes: UInt32, storeID: StoreID, position: Position, segmentBytes: UInt64, created: Timestamp,
        formatVersion: UInt32 = SegmentHeader.version, compatibleFeatures: UInt64 = 0, incompatibleFeatures: UInt64 = 0
    ) {
        self.formatVersion = formatVersion
        self.blockBytes = blockBytes
        self.compatibleFeatures = compatibleFeatures
        self.incompatibleFeatures = incompatibleFeatures
        self.storeID = storeID
        self.position = position
        self.segmentBytes = segmentBytes
        self.created = created
    }

    public var content: SegmentContent {
        incompatibleFeatures & Self.singleLogFeature == 0 ? .namedLogs : .singleLog
    }

    /// Writes the header and zeroes the rest of the first block, as far as `bytes` reaches. Traps if `bytes` is shorter
    /// than a header or the sizes contradict each other: such a segment could never be read again.
    public func encode(into bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "no room for a segment header")
        precondition(hasSaneLengths, "a segment of such sizes could not be read again")
        let start = bytes.baseAddress!
        unsafe start.store(Self.magic, at: 0)
        unsafe start.store(formatVersion, at: 8)
        unsafe start.store(blockBytes, at: 12)
        unsafe start.store(compatibleFeatures, at: 16)
        unsafe start.store(incompatibleFeatures, at: 24)
        unsafe start.store(storeID, at: 32)
        unsafe start.store(position.rawValue, at: 48)
        unsafe start.store(segmentBytes, at: 56)
        unsafe start.store(created.rawValue, at: 64)
        unsafe start.store(UInt32(0), at: 72)
        unsafe start.store(Self.checksum(of: UnsafeRawBufferPointer(bytes)), at: 76)
        let paddingBytes = min(bytes.count, Int(blockBytes)) - Self.byteCount
        unsafe (start + Self.byteCount).initializeMemory(as: UInt8.self, repeating: 0, count: paddingBytes)
    }

    /// Reads a header, and checks the zeros behind it as far as `bytes` reaches into the first block. The checksum comes
    /// before the version and the features, so that a flipped bit is not taken for a newer version.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.byteCount else {
            throw .truncated(needed: Self.byteCount, available: bytes.count)
        }
        guard unsafe bytes.integer(at: 0) == Self.magic else { throw .badMagic }
        guard unsafe bytes.integer(at: 76) == Self.checksum(of: bytes) else { throw .checksumMismatch }
        unsafe self.init(fieldsOf: bytes)
        guard formatVersion == Self.version else { throw .unsupportedVersion(formatVersion) }
        let unknownFeatures = incompatibleFeatures & ~Self.knownIncompatibleFeatures
        guard unknownFeatures == 0 else { throw .unknownFeatures(unknownFeatures) }
        guard unsafe bytes.integer(at: 72, as: UInt32.self) == 0 else { throw .nonZeroReserved }
        guard hasSaneLengths else { throw .badLength }
        guard unsafe bytes.isZero(in: Self.byteCount..<min(bytes.count, Int(blockBytes))) else {
            throw .nonZeroPadding
        }
    }

    private init(fieldsOf bytes: UnsafeRawBufferPointer) {
        unsafe self.init(
            blockBytes: bytes.integer(at: 12), storeID: bytes.storeID(at: 32),
            position: Position(rawValue: bytes.integer(at: 48)), segmentBytes: bytes.integer(at: 56),
            created: Timestamp(rawValue: bytes.integer(at: 64)), formatVersion: bytes.integer(at: 8),
            compatibleFeatures: bytes.integer(at: 16), incompatibleFeatures: bytes.integer(at: 24))
    }

    /// The block is a power of two, the segment a whole number of blocks with room for one batch, and ends below 2^63.
    private var hasSaneLengths: Bool {
        let limit = UInt64(Int64.max)
        return blockBytes >= Self.blockBytesMin && blockBytes & (blockBytes - 1) == 0
            && segmentBytes % UInt64(blockBytes) == 0 && segmentBytes >= 2 * UInt64(blockBytes)
            && segmentBytes <= limit && position.rawValue <= limit - segmentBytes
    }

    private static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        unsafe CRC32C.checksum(bytes.part(0..<76))
    }
}

extension FixedWidthInteger where Self: UnsignedInteger {
    /// The integer whose little-endian bytes are these ASCII characters: how magic numbers are written down.
    init(littleEndianBytes characters: StaticString) {
        precondition(characters.utf8CodeUnitCount == MemoryLayout<Self>.size)
        self = 0
        for index in (0..<characters.utf8CodeUnitCount).reversed() {
            self = self << 8 | Self(unsafe characters.utf8Start[index])
        }
    }
}

extension SegmentContent {
    /// The incompatible features of a segment with such frames.
    public var features: UInt64 {
        switch self {
        case .namedLogs: 0
        case .singleLog: SegmentHeader.singleLogFeature
        }
    }
}
