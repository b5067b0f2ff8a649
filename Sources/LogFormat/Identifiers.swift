/// A number of its own kind: two kinds never mix by accident, and each one costs what its integer costs.
public protocol Ordinal: RawRepresentable, Comparable, Hashable, Sendable, CustomStringConvertible
where RawValue: FixedWidthInteger & UnsignedInteger {
    init(rawValue: RawValue)
}

extension Ordinal {
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The bare number, as messages show it.
    public var description: String { rawValue.description }
}

/// A byte place in the write-ahead log, counted over all segments since the beginning. Always below 2^63.
public struct Position: Ordinal {
    public var rawValue: UInt64

    /// The first byte of the first segment ever.
    public static let zero = Position(rawValue: 0)

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The position `bytes` further on. Traps below zero and beyond 2^64.
    @inlinable
    public static func + (position: Position, bytes: Int) -> Position {
        bytes >= 0
            ? Position(rawValue: position.rawValue + UInt64(bytes))
            : Position(rawValue: position.rawValue - UInt64(bytes.magnitude))
    }

    /// The distance in bytes; negative if `left` is the earlier one.
    @inlinable
    public static func - (left: Position, right: Position) -> Int {
        left >= right ? Int(left.rawValue - right.rawValue) : -Int(right.rawValue - left.rawValue)
    }
}

/// The ordinal of a record in its log, from 0.
public struct RecordOffset: Ordinal {
    public var rawValue: UInt64

    /// The first record of a log.
    public static let zero = RecordOffset(rawValue: 0)

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The offset `count` records further on. Traps on overflow.
    @inlinable
    public static func + (offset: RecordOffset, count: Int) -> RecordOffset {
        RecordOffset(rawValue: offset.rawValue + UInt64(count))
    }

    /// How many records lie between two offsets; negative if `left` is the earlier one.
    @inlinable
    public static func - (left: RecordOffset, right: RecordOffset) -> Int {
        left >= right ? Int(left.rawValue - right.rawValue) : -Int(right.rawValue - left.rawValue)
    }
}

/// The number of a log, never used again for another one. 0 stands for no log (frames about the whole store).
public struct LogID: Ordinal {
    public var rawValue: UInt64

    /// The log id of frames that belong to no log: seal and epoch.
    public static let none = LogID(rawValue: 0)

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The id given after this one.
    @inlinable
    public var next: LogID { LogID(rawValue: rawValue + 1) }
}

/// The number of a batch, one more for each batch of a store.
public struct BatchNumber: Ordinal {
    public var rawValue: UInt64

    /// Before the first batch, which has number 1.
    public static let zero = BatchNumber(rawValue: 0)

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The number of the batch that follows. Wraps, so that an unchecked header read from a disk cannot trap.
    @inlinable
    public var next: BatchNumber { BatchNumber(rawValue: rawValue &+ 1) }
}

/// How often this store was recovered: one more at each start.
public struct Epoch: Ordinal {
    public var rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The epoch that the next recovery begins.
    @inlinable
    public var next: Epoch { Epoch(rawValue: rawValue + 1) }
}

/// Microseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Ordinal {
    public var rawValue: UInt64

    public static let zero = Timestamp(rawValue: 0)

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// One microsecond later: the least timestamp that a following frame may have.
    @inlinable
    public var next: Timestamp { Timestamp(rawValue: rawValue + 1) }
}

/// Sixteen random bytes that tell one store's batches from all others'.
public struct StoreID: Hashable, Sendable, CustomStringConvertible {
    /// Bytes 0..<8, read as a little-endian number.
    public let first: UInt64
    /// Bytes 8..<16, read as a little-endian number.
    public let second: UInt64

    public init(first: UInt64, second: UInt64) {
        self.first = first
        self.second = second
    }

    /// A new identity, for a store that is being made.
    public static func random() -> StoreID {
        StoreID(first: .random(in: .min ... .max), second: .random(in: .min ... .max))
    }

    /// The sixteen bytes in their order on disk, as 32 hexadecimal digits.
    public var description: String { Self.hexadecimal(first.byteSwapped) + Self.hexadecimal(second.byteSwapped) }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
