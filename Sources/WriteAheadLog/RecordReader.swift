import CommitLog
import LogFormat

/// A durable record.
public struct Record: Sendable, Hashable {
    /// Its place: the `position` that its append was answered with.
    public let position: RecordPosition
    /// When its append was accepted: microseconds since 1970-01-01T00:00:00Z, growing from append to append.
    public let timestamp: UInt64
    /// The record itself, as it was appended.
    public let bytes: [UInt8]

    /// The place behind it, to go on from.
    public var next: RecordPosition { position.advanced(records: 1, bytes: bytes.count) }
}

/// Goes over the durable records of a log in order, also while it is written to. It reads from the disk on the thread that
/// calls it, holds a few MiB, and is for one thread at a time.
public final class RecordReader {
    private let loop: CommitLoop
    /// The place of the next record, or where it may begin.
    public private(set) var position: RecordPosition

    /// A position in the segment that is being read.
    private var batchPlace: Position?
    private var batches: SegmentBatches?
    private var batch: BatchView?
    private var frame: FrameView?
    /// Where the next record of the frame lies in it: the index, and the bytes before it.
    private var recordIndex = 0
    private var recordOffset = 0
    /// The place of that record.
    private var place = RecordPosition.zero
    /// Where the frame behind the last one begins; nil before the first.
    private var nextFramePlace: RecordPosition?

    init(_ loop: CommitLoop, from position: RecordPosition) throws(WriteAheadLogError) {
        self.loop = loop
        self.position = position
        try loop.withRecords { records throws(WriteAheadLogError) in
            guard position <= records.sequenced.upperBound else { throw .beyondEnd(next: records.sequenced.upperBound) }
            if position < records.durable.lowerBound { throw .truncated(first: records.durable.lowerBound) }
        }
    }

    /// The next record, nil where the durable ones end for now.
    ///
    /// Throws `truncated` when the records here have been let go of meanwhile, `damaged` or `file` when they cannot be
    /// read, and `shutDown`. The reader stays where it is then.
    public func next() throws(WriteAheadLogError) -> Record? {
        try next { record, timestamp, position in
            Record(position: position, timestamp: timestamp, bytes: unsafe record.withUnsafeBytes { unsafe Array($0) })
        }
    }

    /// As `next()`, lending the bytes instead of copying them.
    public func next<Value>(
        _ body: (_ record: RawSpan, _ timestamp: UInt64, _ position: RecordPosition) -> Value
    ) throws(WriteAheadLogError) -> Value? {
        while true {
            if let frame, let value = nextRecord(of: frame, body) { return value }
            guard try advance() else { return nil }
        }
    }

    private func nextRecord<Value>(of frame: FrameView, _ body: (RawSpan, UInt64, RecordPosition) -> Value) -> Value? {
        let (lengths, payload) = unsafe frame.records
        while recordIndex < Int(frame.header.recordCount) {
            let byteCount = Int(
                UInt32(littleEndian: unsafe lengths.loadUnaligned(fromByteOffset: 4 * recordIndex, as: UInt32.self)))
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: payload[recordOffset..<recordOffset + byteCount])
            let found = place
            recordIndex += 1
            recordOffset += byteCount
            place = place.advanced(records: 1, bytes: byteCount)
            if found < position { continue }
            position = place
            return body(unsafe bytes.bytes, frame.header.timestamp.rawValue, found)
        }
        return nil
    }

    /// Goes to the next frame with records at or behind the position; false where the durable ones end.
    private func advance() throws(WriteAheadLogError) -> Bool {
        frame = nil
        while true {
            if let found = try nextFrame() {
                guard found.header.kind == .append else { continue }
                guard found.header.firstOffset.rawValue < RecordCheckpoint.numberMax else {
                    throw .damaged(file: "wal", cause: "a frame names a place that no log reaches")
                }
                recordIndex = 0
                recordOffset = 0
                place = RecordPosition(rawValue: found.header.firstOffset.rawValue)
                guard nextFramePlace ?? place == place else {
                    throw .damaged(file: "wal", cause: "the records before position \(place) are missing")
                }
                nextFramePlace = place.advanced(
                    records: Int(found.header.recordCount), bytes: Int(found.header.payloadBytes))
                frame = found
                return true
            }
            guard try nextBatch() else { return false }
        }
    }

    private func nextFrame() throws(WriteAheadLogError) -> FrameView? {
        do throws(FormatError) { return try batch?.nextFrame() } catch {
            throw .damaged(file: "wal", cause: "a batch that was whole changed while it was read")
        }
    }

    /// Reads the next batch; false where the durable ones end.
    private func nextBatch() throws(WriteAheadLogError) -> Bool {
        batch = nil
        while true {
            let part = try loop.part(at: batchPlace, or: position)
            if let place = batchPlace, place < part.segment.position { batches = nil }
            do throws(CommitLogError) {
                if try readBatch(of: part) { return true }
            } catch {
                batches = nil
                batchPlace = nil
                nextFramePlace = nil
                // What was let go of may be gone from the disk already, and cannot be read then.
                _ = try loop.part(at: nil, or: position)
                throw WriteAheadLogError(error)
            }
            if part.isActive { return false }
            batches = nil
            batchPlace = part.segment.limit
        }
    }

    private func readBatch(of part: CommitLoop.Part) throws(CommitLogError) -> Bool {
        if batches == nil {
            batches = try SegmentBatches(
                part.segment, from: part.start, directory: loop.directory, fileSystem: loop.fileSystem,
                isDirect: part.isDirect)
            batchPlace = part.start
        }
        let found = try part.isActive ? batches?.next(before: part.durableEnd) : batches?.next()
        batch = found?.batch
        return found != nil
    }
}
