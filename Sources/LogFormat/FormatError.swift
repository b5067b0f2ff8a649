/// Why bytes were refused. The caller adds the file and the position, which this module does not know.
public enum FormatError: Error, Equatable, Sendable {
    /// Fewer bytes than the structure needs.
    case truncated(needed: Int, available: Int)
    /// Not the beginning of the structure that was expected.
    case badMagic
    /// The CRC32C does not match the bytes.
    case checksumMismatch
    /// A length that contradicts the others or the structure's limits.
    case badLength
    /// The frames of a batch and its frame count or byte count disagree.
    case badFrameCount
    /// A frame, `offset` bytes into a batch whose own checksum is right, is damaged: no torn write looks like this.
    case damagedFrame(offset: Int)
    /// A field that does not end inside the fields of its frame.
    case badField
    /// Record lengths that do not add up to the payload.
    case badRecordLengths
    /// A padding byte that is not zero.
    case nonZeroPadding
    /// A reserved number that is not zero.
    case nonZeroReserved
    /// Frame flags that this version does not know.
    case unknownFlags(UInt8)
    /// A frame kind that this version does not know.
    case unknownKind(UInt8)
    /// A field type that this version does not know.
    case unknownField(UInt16)
    /// Incompatible feature bits that this version does not know.
    case unknownFeatures(UInt64)
    /// A format version that this version cannot read.
    case unsupportedVersion(UInt32)

    /// Whether the bytes are whole but speak of something that only a newer version of appendlog understands.
    /// Such bytes are neither torn nor damaged; a server must refuse to start and leave them alone.
    public var needsNewerVersion: Bool {
        switch self {
        case .unknownFlags, .unknownKind, .unknownField, .unknownFeatures, .unsupportedVersion: true
        case .truncated, .badMagic, .checksumMismatch, .badLength, .badFrameCount, .damagedFrame, .badField,
            .badRecordLengths, .nonZeroPadding, .nonZeroReserved:
            false
        }
    }
}

extension FormatError: CustomStringConvertible {
    /// One sentence for a person, without the place.
    public var description: String {
        switch self {
        case .truncated(let needed, let available): "\(needed) bytes are needed and only \(available) are there."
        case .badMagic: "The magic number is not the expected one."
        case .checksumMismatch: "The checksum does not match the bytes."
        case .badLength: "A length contradicts the structure that it belongs to."
        case .badFrameCount: "The frames do not fill their batch exactly."
        case .damagedFrame(let offset): "The frame \(offset) bytes into an otherwise valid batch is damaged."
        case .badField: "A field does not end inside its frame's fields."
        case .badRecordLengths: "The record lengths do not add up to the payload."
        case .nonZeroPadding: "A padding byte is not zero."
        case .nonZeroReserved: "A reserved number is not zero."
        case .unknownFlags(let flags): "The frame flags \(flags) need a newer version of appendlog."
        case .unknownKind(let kind): "The frame kind \(kind) needs a newer version of appendlog."
        case .unknownField(let kind): "The field type \(kind) needs a newer version of appendlog."
        case .unknownFeatures(let bits):
            "The incompatible features 0x\(String(bits, radix: 16)) need a newer version of appendlog."
        case .unsupportedVersion(let version):
            "Format version \(version) needs another version of appendlog; this one reads version \(SegmentHeader.version)."
        }
    }
}
