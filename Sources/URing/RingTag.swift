/// What a submission is called: it comes back with the completion.
///
/// A packed kind and number, never a pointer: a late or doubled completion can then be recognised and refused,
/// where a pointer would be followed.
public struct RingTag: RawRepresentable, Hashable, Sendable {
    /// The kind in the top byte, the number in the 56 bits below it.
    public let rawValue: UInt64

    /// Numbers are below this (2⁵⁶).
    public static let numberLimit: UInt64 = 1 << 56

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// - Parameters:
    ///   - kind: the caller's own classification, for example "write of a batch".
    ///   - number: which one of that kind; below `numberLimit`.
    public init(kind: UInt8, number: UInt64) {
        precondition(number < Self.numberLimit, "a tag's number has 56 bits")
        rawValue = UInt64(kind) << 56 | number
    }

    public var kind: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 56) }
    public var number: UInt64 { rawValue & (Self.numberLimit - 1) }
}

/// What became of one submission.
public struct RingCompletion: Equatable, Sendable {
    public let tag: RingTag
    /// Bytes moved, or poll events, or a negated errno (`-EBADF`). A write may be shorter than asked for.
    public let result: Int32
    /// Whether the same submission will complete again; a multishot poll with `false` has to be armed anew.
    public let hasMore: Bool

    public init(tag: RingTag, result: Int32, hasMore: Bool) {
        self.tag = tag
        self.result = result
        self.hasMore = hasMore
    }
}

/// The file that a submission is about.
public enum FileTarget: Equatable, Sendable {
    /// A slot of the ring's file table (`Ring.registerFiles`); spares the kernel a lookup per submission.
    case registered(Int)
    /// A descriptor of this process. It may be closed once the submission has been submitted.
    case descriptor(Int32)
}
