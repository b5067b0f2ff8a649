import CommitLog
import LogFormat

/// One endless stream of records over a commit log, for one thread at a time: what the public log is without its threads.
///
/// What is staged is `sequenced`; `publish` makes it durable, which is all that readers and statistics show.
final class RecordLog {
    /// What a batch that is not durable yet will make true.
    private struct Contents {
        let number: BatchNumber
        /// Where the stream stands behind it, and where it begins then.
        var next: RecordPosition
        var first: RecordPosition
    }

    /// What became of records that were to be staged.
    enum Outcome {
        case staged(BatchNumber, RecordPosition)
        /// There is no room now; there will be behind the next batch, or when a segment is ready.
        case busy
        case noSegment(FileError)
        case poisoned(PoisonCause)
    }

    let log: CommitLog
    /// Records that the replay of this start went over.
    let replayedRecordCount: Int
    private let pendingBytesMax: Int
    private let clock: any LogClock
    /// The durable stream: from the first record that is kept to behind the last one.
    private(set) var durable: Range<RecordPosition>
    /// The same when everything staged will be durable.
    private(set) var sequenced: Range<RecordPosition>
    private(set) var index: RecordIndex
    /// The batch that ends next, and the one behind it: the one in flight and the filling one.
    private var pending: Contents?
    private var filling: Contents?
    private var lastTimestamp: Timestamp
    private var checkpoints = CheckpointSchedule()

    /// Opens the log and recovers it through `open`. Must be called on the loop's thread.
    init(
        pendingBytesMax: Int, clock: any LogClock = SystemClock(),
        open: (any RecoveryVisitor) throws(CommitLogError) -> CommitLog
    ) throws(CommitLogError) {
        let replay = RecordReplay()
        log = try open(replay)
        self.pendingBytesMax = pendingBytesMax
        self.clock = clock
        durable = replay.first..<replay.next
        sequenced = durable
        index = replay.index
        lastTimestamp = replay.lastTimestamp
        replayedRecordCount = replay.recordCount
        // The batch of the epoch was not replayed; it may have begun the segment.
        noteActiveSegment()
        checkpoints.isWanted = log.segments.count > 1 || log.hasRetiredLeftovers
    }

    /// Stages records as one frame, which is durable whole or not at all. `fill` writes the lengths (u32, little-endian) and
    /// the bytes. With `number` the batch is meant that must become durable, with the position the first record.
    func append(
        records: Int, bytes: Int,
        fill: (_ lengths: UnsafeMutableRawBufferPointer, _ payload: UnsafeMutableRawBufferPointer) -> Void
    ) -> Outcome {
        let frameBytes = FrameHeader.frameBytes(fieldsBytes: 0, recordCount: records, payloadBytes: bytes)
        // First: what was in flight then is pending for ever.
        if let cause = log.poisonCause { return .poisoned(cause) }
        let pendingBytes = log.pendingBytes
        if pendingBytes > 0 && pendingBytes + frameBytes > pendingBytesMax {
            log.commitSoon()
            return .busy
        }
        let position = sequenced.upperBound
        return unsafe stage(
            .append, at: position, records: records, bytes: bytes,
            then: sequenced.lowerBound..<position.advanced(records: records, bytes: bytes), fill: fill)
    }

    /// Stages that everything before a place is gone. The place is not behind the last record.
    func truncateFront(before first: RecordPosition) -> Outcome {
        precondition(first <= sequenced.upperBound, "the front is cut behind the last record")
        return unsafe stage(
            .trim, at: first, records: 0, bytes: 0, then: max(first, sequenced.lowerBound)..<sequenced.upperBound
        ) { _, _ in }
    }

    private func stage(
        _ kind: FrameKind, at position: RecordPosition, records: Int, bytes: Int, then: Range<RecordPosition>,
        fill: (_ lengths: UnsafeMutableRawBufferPointer, _ payload: UnsafeMutableRawBufferPointer) -> Void
    ) -> Outcome {
        let timestamp = max(clock.now, lastTimestamp.next)
        let header = FrameHeader(
            kind: kind, recordCount: UInt32(records), logID: RecordReplay.logID,
            firstOffset: RecordOffset(rawValue: position.rawValue), timestamp: timestamp, payloadBytes: UInt32(bytes))
        let outcome = unsafe log.append(header, fields: UnsafeRawBufferPointer(start: nil, count: 0), fill: fill)
        switch outcome {
        case .busy: return .busy
        case .noSegment(let error): return .noSegment(error)
        case .poisoned(let cause): return .poisoned(cause)
        case .staged(let frame):
            lastTimestamp = timestamp
            sequenced = then
            let contents = Contents(number: frame.batch, next: then.upperBound, first: then.lowerBound)
            if pending == nil || pending?.number == frame.batch {
                pending = contents
            } else {
                precondition(
                    filling == nil || filling?.number == frame.batch, "more batches are pending than there are buffers")
                filling = contents
            }
            return .staged(frame.batch, position)
        }
    }

    /// Makes durable what a batch says.
    func publish(_ batch: DurableBatch) {
        let mark = RecordIndex.Mark(first: durable.upperBound, segment: batch.segment, batch: batch.position)
        index.add(mark, isFirst: batch.beginsSegment)
        if batch.beginsSegment { checkpoints.isWanted = true }
        guard let contents = pending, contents.number == batch.number else { return }
        pending = filling
        filling = nil
        durable = contents.first..<contents.next
    }

    /// A segment holds nothing any more that is kept. The index does not know one that never took a batch, as where the first
    /// batch of all was lost and the next start could not use that segment.
    var hasDeadSegment: Bool {
        log.segments[0].position < index.segments[0].position || index.hasDeadSegment(first: durable.lowerBound)
    }

    /// Does what need not be done at once. Called at each turn of the loop, after `publish`. Returns the microseconds after
    /// which it wants to be called again, nil if it need not.
    func tick() -> Int64? {
        if log.poisonCause != nil { return nil }
        let first = durable.lowerBound
        let now = clock.monotonicMicroseconds
        let hasDead = hasDeadSegment
        guard checkpoints.isDue(log, now: now, hasDead: hasDead) else {
            return hasDead || log.hasRetiredLeftovers ? checkpoints.retirementDelay(log, now: now) : nil
        }
        let anchor = log.scanAnchor
        var segments = index.kept(first: first).filter { $0.position < anchor.segment }
        let kept = segments.map(\.position)
        // The active segment's first batch may not be durable yet: it begins with what comes next then.
        segments.append(
            index.segments.last { $0.position == anchor.segment }
                ?? .init(
                    position: anchor.segment, first: durable.upperBound))
        let checkpoint = RecordCheckpoint(first: first, lastTimestamp: lastTimestamp, segments: segments)
        log.writeCheckpoint(checkpoint.encoded, anchor: anchor, kept: kept)
        return nil
    }

    /// Takes note of segments that are gone. Called when the maintenance thread has finished a file.
    func noteFinishedFile() {
        // What was retired is always older than what is kept.
        index.forget(before: log.segments[0].position)
    }

    private func noteActiveSegment() {
        let active = log.active
        guard index.segments.last?.position != active.position else { return }
        index.add(
            .init(first: durable.upperBound, segment: active.position, batch: active.firstBatchPosition), isFirst: true)
    }
}
