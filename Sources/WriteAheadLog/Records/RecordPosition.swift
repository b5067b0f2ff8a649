/// The place of a record in a log's stream of records: the bytes that lie before it, counted since the log was made, where
/// each record takes 4 bytes for its length and then its own.
///
/// Positions only grow, are never used again, and are known as soon as a record is accepted. The record behind one of
/// `byteCount` bytes at `position` has the position `position + 4 + byteCount`.
public struct RecordPosition: RawRepresentable, Comparable, Hashable, Sendable, CustomStringConvertible {
    /// Bytes of the stream before the record.
    public let rawValue: UInt64

    /// The place of the first record that a log ever takes.
    public static let zero = RecordPosition(rawValue: 0)

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { rawValue.description }
}

extension RecordPosition {
    /// Bytes that each record takes in the stream beside its own.
    static let lengthBytes = 4

    /// The place behind so many records with so many bytes of their own.
    package func advanced(records: Int, bytes: Int) -> RecordPosition {
        RecordPosition(rawValue: rawValue + UInt64(Self.lengthBytes * records + bytes))
    }
}
