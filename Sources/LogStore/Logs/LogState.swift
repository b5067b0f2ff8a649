import CommitLog
import LogFormat

/// A log's place in the store's table. When the log is deleted the place may become another log's, in another generation.
public struct LogSlot: Hashable, Sendable {
    public let index: Int32
    let generation: UInt32

    init(index: Int32, generation: UInt32 = 0) {
        self.index = index
        self.generation = generation
    }
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
    /// It takes no more records.
    public let isClosed: Bool
    public let settings: LogSettings

    public var records: UInt64 { next.rawValue - first.rawValue }
}

/// One log.
///
/// - What is called sequenced counts what in-flight frames will make true, and is what new requests are judged by.
/// - What is called durable is on the disk, and is all that anyone is shown; it never passes what is sequenced.
struct LogState {
    let id: LogID
    let created: Timestamp
    /// How many logs had the slot before.
    var generation: UInt32 = 0
    var nameStart: UInt32 = 0
    var nameBytes: UInt8 = 0
    /// The create frame is on the disk.
    var isDurable: Bool
    /// The delete frame is on the disk: the slot is kept until nothing refers to it, and is shown to nobody.
    var isDeleted = false
    var isDeletedSequenced = false
    var isClosed = false
    var isClosedSequenced = false
    /// The log of the same name before this one, as long as its deletion is not durable.
    var previous: LogSlot?
    var first = RecordOffset.zero
    var sequencedFirst = RecordOffset.zero
    var sequencedNext = RecordOffset.zero
    var durableNext = RecordOffset.zero
    /// The timestamp of the last durable record.
    var lastAppend = Timestamp.zero
    /// Bytes of the durable records that are kept; after a trim in the middle of what is kept an estimate.
    var bytes: UInt64 = 0
    /// The batch of the last frame about this log; 0 if it is from before this process.
    var lastBatch = BatchNumber.zero
    /// Nil where nothing is set.
    var settings: LogSettingsBox?
    var settingsSequenced: LogSettingsBox?
    /// The last entry of this log in the index of the active segment; -1 for none.
    var lastActiveEntry: Int32 = -1
    /// Where this log is, but for what it appended in the active segment: in the order of the offsets, none of which two
    /// have.
    var extents: [IndexExtent] = []

    /// Anyone may see it.
    var isShown: Bool { isDurable && !isDeleted }

    /// Forgets the records below an offset; returns how many there were, and about how many bytes they had.
    mutating func trim(before offset: RecordOffset) -> (records: UInt64, bytes: UInt64) {
        guard offset > first else { return (0, 0) }
        let kept = durableNext.rawValue - first.rawValue
        let gone = min(offset.rawValue - first.rawValue, kept)
        let goneBytes = gone == kept ? bytes : UInt64(Double(bytes) * Double(gone) / Double(kept))
        bytes -= goneBytes
        first = offset
        sequencedFirst = max(sequencedFirst, offset)
        return (gone, goneBytes)
    }

    /// The part that holds an offset, if that was not appended in the active segment.
    func extent(covering offset: RecordOffset) -> IndexExtent? {
        let index = extents.firstIndex(endingBehind: offset)
        guard index < extents.count, extents[index].first <= offset else { return nil }
        return extents[index]
    }
}
