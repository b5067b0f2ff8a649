import CommitLog
import LogFormat

/// Packs segments of which little is kept: copies what is, as frames of the kind `moved`, to the end of the write-ahead log, so
/// that the segment can be retired. One log that nobody trims does so not pin the space of those beside it, and the padding
/// of small batches is not kept for ever.
///
/// - A copy is read from when it is durable, and not before; until then the log is where it was.
/// - Frames are copied one by one with their offsets and timestamps, and in the order of their positions. Who sent them is
///   not copied: a segment goes only when two checkpoints say so, and those say it too.
/// - One segment at a time, some frames at a time, at a bounded pace.
struct Relocation {
    enum Phase {
        case idle
        case surveying(Survey)
        case packing(Packing)
    }

    var phase = Phase.idle
    /// Something was trimmed, deleted or sealed since the last survey began.
    var mayBeWanted = true
    /// When the next survey may begin.
    var nextSurvey: Int64 = 0
    /// Segments that cannot be packed in this process: something in them is unreadable, or too large for a batch.
    var refused: Set<Position> = []
    /// Segments that were packed, and bytes of the frames that were copied for it.
    var packedCount: UInt64 = 0
    var movedBytes: UInt64 = 0

    func isReading(_ number: UInt64) -> Bool {
        if case .packing(let packing) = phase { packing.readNumber == number } else { false }
    }
}

/// How many bytes are kept in each segment, added up log by log.
struct Survey {
    var nextSlot: Int32 = 0
    var liveBytes: [Position: UInt64] = [:]

    mutating func take(_ state: LogState) {
        guard state.isShown else { return }
        for extent in state.extents { liveBytes[extent.segment, default: 0] += extent.frameBytes(from: state.first) }
    }
}

/// The segment that is being packed.
final class Packing {
    let segment: Segment
    let buffer = ReadBuffer()
    /// The logs that have something in it, among the slots below `nextSlot`: later logs have not.
    var slots: [LogID: LogSlot] = [:]
    var nextSlot: Int32 = 0
    /// The frame or batch header that is looked at next.
    var cursor: RangeRead.Cursor
    /// The disk read under way: its number, descriptor, and what it brings.
    var readNumber: UInt64?
    var descriptor: Int32 = -1
    var readStart = Position.zero
    var readBytesMin = 0
    /// Reads that brought too little.
    var failedReadCount = 0
    /// When the next read may begin.
    var nextRead: Int64 = 0
    /// The last batch with copies.
    var lastBatch = BatchNumber.zero
    /// Bytes of the frames that were copied since that was durable.
    var movedBytes = 0

    init(_ segment: Segment) {
        self.segment = segment
        cursor = .batch(segment.firstBatchPosition)
    }
}
