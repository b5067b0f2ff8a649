import CommitLog
import LogFormat

/// Brings back what a stream of records was when its process ended.
package final class RecordReplay: RecoveryVisitor {
    /// The only log of such a store.
    package static let logID = LogID(rawValue: 1)

    package private(set) var first = RecordPosition.zero
    package private(set) var next = RecordPosition.zero
    private(set) var lastTimestamp = Timestamp.zero
    private(set) var index = RecordIndex()
    private(set) var recordCount = 0
    /// What the checkpoint says of each segment's beginning.
    private var starts: [Position: RecordPosition] = [:]
    /// The segment that batches are replayed in, until its first one has come.
    private var begun: Position?

    package init() {}

    package func restore(_ payload: UnsafeRawBufferPointer) throws(CommitLogError) {
        do throws(FormatError) {
            let checkpoint = unsafe try RecordCheckpoint(decoding: payload)
            first = checkpoint.first
            lastTimestamp = checkpoint.lastTimestamp
            for segment in checkpoint.segments { starts[segment.position] = segment.first }
        } catch {
            throw .damaged(Damage(file: "checkpoint", position: nil, cause: "its payload is unreadable"))
        }
    }

    package func index(_ segment: Segment) throws(CommitLogError) {
        guard let first = starts[segment.position] else {
            throw damage(segment.position, "the checkpoint does not say which records the segment begins with")
        }
        index.add(.init(first: first, segment: segment.position, batch: segment.firstBatchPosition), isFirst: true)
    }

    package func begin(_ segment: Position) throws(CommitLogError) {
        if let first = starts[segment] { next = first }
        begun = segment
    }

    package func replay(_ batch: inout BatchView, at position: Position) throws(CommitLogError) {
        if let segment = begun ?? index.segments.last?.position {
            index.add(.init(first: next, segment: segment, batch: position), isFirst: begun != nil)
            begun = nil
        }
        while let frame = try nextFrame(&batch, position) {
            let header = frame.header
            guard header.timestamp.rawValue < RecordCheckpoint.numberMax,
                header.firstOffset.rawValue < RecordCheckpoint.numberMax
            else { throw damage(position, "a frame names a place or a time that no log reaches") }
            lastTimestamp = max(lastTimestamp, header.timestamp)
            switch header.kind {
            case .append:
                guard header.logID == Self.logID, header.firstOffset.rawValue == next.rawValue else {
                    throw damage(position, "a frame does not go on where the records before it ended")
                }
                next = next.advanced(records: Int(header.recordCount), bytes: Int(header.payloadBytes))
                recordCount += Int(header.recordCount)
            case .trim:
                first = max(first, RecordPosition(rawValue: header.firstOffset.rawValue))
            case .seal, .epoch: break
            case .create, .configure, .close, .delete, .moved, .lost:
                throw damage(position, "a frame of a kind that a single log does not have")
            }
        }
    }

    package func finish() throws(CommitLogError) {
        guard first <= next else {
            throw .damaged(Damage(file: "wal", position: nil, cause: "its front is cut behind its last record"))
        }
    }

    private func nextFrame(_ batch: inout BatchView, _ position: Position) throws(CommitLogError) -> FrameView? {
        do throws(FormatError) { return try batch.nextFrame() } catch {
            throw damage(position, "the batch here changed while it was read")
        }
    }

    private func damage(_ position: Position, _ cause: String) -> CommitLogError {
        .damaged(Damage(file: "wal", position: position, cause: cause))
    }
}
