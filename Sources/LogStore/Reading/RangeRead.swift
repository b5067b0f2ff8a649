import CommitLog
import LogFormat

/// Takes the records of a read, in the order of their offsets. Subclass it.
open class RecordSink {
    public init() {}

    /// Takes a record; its bytes are valid during the call only. False ends the read: the record was not taken.
    open func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        preconditionFailure("a sink takes records")
    }
}

/// Where a read stands after a step.
public enum ReadProgress: Equatable {
    /// The tail was reached, or the sink had enough.
    case finished
    /// A disk read is under way: step again when it has ended.
    case waiting
    /// The step has cost enough: step again when others have had their turn.
    case paused
    /// A record that was acknowledged is not there as it was written, near this position.
    case damaged(position: Position)
    case failed(FileError)
    /// The log was deleted.
    case gone
    /// The next record was lost by damage before a repair; the log goes on at `next`.
    case lost(next: RecordOffset)
    /// The next record is no longer kept; the first that is has this offset.
    case trimmed(first: RecordOffset)
}

/// Where a read begins.
public enum ReadStart: Equatable, Sendable {
    case offset(RecordOffset)
    /// The first record that is kept.
    case first
    /// Behind the last durable record.
    case tail
    /// So many records before that, or the first one that is kept.
    case last(UInt64)
    /// The first record whose timestamp is not below this one.
    case time(Timestamp)
}

/// One read of a log's records from an offset to the durable tail at its beginning.
///
/// It goes from index entry to index entry: each says where the first frame of the log lies in a window of the write-
/// ahead log, and only that window is scanned for further ones.
@safe
public final class RangeRead {
    /// What the disk read under way brings.
    enum Fetch: Equatable {
        case none
        /// The entries of this log in a sealed segment.
        case index(IndexExtent)
        /// Bytes of a segment from this position on, at least so many.
        case data(Position, bytesMin: Int)
    }

    public let log: LogSlot
    /// The offset that it began at; for a time, from which on it looks for the record.
    public internal(set) var from: RecordOffset
    /// The frames before this time are passed over.
    let since: Timestamp
    /// A record that is gone is passed over: the read began at no certain offset.
    let followsTrim: Bool
    /// The search for the first record of that time, until it has ended.
    var timeSearch: TimeSearch?
    /// The sink took a record.
    var hasGiven = false
    /// What the step may still cost, in bytes.
    var share = 0
    /// The offset behind the last record that the sink took.
    public internal(set) var next: RecordOffset
    /// The durable tail when the read began: it ends there.
    public let tail: RecordOffset
    /// Where it last found index entries: of which segment, for which offset.
    struct Place: Equatable {
        let segment: Position
        let offset: RecordOffset
    }

    var lastPlace: Place?
    /// The segment that the entries are of.
    var segment: Segment?
    /// The entries of the log in that segment from the one that covers `next` on, and the one that is being scanned.
    var entries: [IndexEntry] = []
    var entryIndex = 0
    /// From this offset on the log is elsewhere.
    var entriesEnd = RecordOffset.zero
    /// The next frame or batch to look at; nil to begin with the entry.
    var cursor: Cursor?
    var fetch = Fetch.none {
        didSet { buffer.isReading = fetch != .none }
    }
    /// The descriptor that the disk read under way counts on.
    var descriptor: Int32 = -1
    /// An error of the last disk read, negative errno; 0 for none.
    var fetchError: Int32 = 0
    var isCancelled = false
    let buffer = ReadBuffer()

    init(log: LogSlot, from: RecordOffset, tail: RecordOffset, since: Timestamp = .zero, followsTrim: Bool = false) {
        self.log = log
        self.from = from
        self.since = since
        self.followsTrim = followsTrim
        self.next = from
        self.tail = tail
    }

    /// Begins anew at a later offset.
    func restart(at offset: RecordOffset) {
        from = offset
        next = offset
        locateAnew()
    }

    /// Looks for its next record anew: what was found of it is true no more.
    func locateAnew() {
        fetchError = 0
        lastPlace = nil
        segment = nil
        entries = []
        cursor = nil
    }

    /// A place in a segment: a frame of a batch that ends at `batchEnd`, or a batch's header.
    enum Cursor: Equatable {
        case frame(Position, batchEnd: Position)
        case batch(Position)
    }
}
