import LogFormat

/// A log's place in the store's table; stays the same while the process runs.
public struct LogSlot: Hashable, Sendable {
    public let index: Int32

    public init(index: Int32) { self.index = index }
}

/// What a log's name may be.
public enum LogName {
    /// 1 to 128 of `A–Z a–z 0–9 . _ -`, not starting with a dot.
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard (1...LogStoreLimits.logNameBytesMax).contains(bytes.count), unsafe bytes[0] != UInt8(ascii: ".") else {
            return false
        }
        return unsafe bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}

/// What anyone is shown of a log: durable state only.
public struct LogSummary: Equatable, Sendable {
    /// ASCII.
    public let name: [UInt8]
    public let id: LogID
    /// The first offset that is kept.
    public let first: RecordOffset
    /// The offset that the next record will get, counting durable ones only.
    public let next: RecordOffset
    /// Bytes of the records that are kept.
    public let bytes: UInt64
    public let created: Timestamp

    public var records: UInt64 { next.rawValue - first.rawValue }
}

/// One log.
///
/// - `sequencedNext` counts what in-flight frames will make true, and is what new appends follow.
/// - `durableNext` counts what is on the disk, and is all that anyone is shown; it never passes `sequencedNext`.
struct LogState {
    let id: LogID
    let created: Timestamp
    let nameStart: UInt32
    let nameBytes: UInt8
    /// The create frame is on the disk.
    var isDurable: Bool
    var first = RecordOffset.zero
    var sequencedNext = RecordOffset.zero
    var durableNext = RecordOffset.zero
    /// Bytes of the durable records.
    var bytes: UInt64 = 0
    /// The last entry of this log in the index of the active segment; -1 for none.
    var lastActiveEntry: Int32 = -1
    /// Where the sealed segments hold this log, in the order of the offsets.
    var extents: [IndexExtent] = []
}
