import CommitLog
import LogFormat

/// What looking at one frame or batch header led to.
enum ScanStep: Equatable {
    case goOn
    /// The sink wants no more.
    case enough
    /// So many bytes from this position on must come from the disk.
    case needs(Position, bytes: Int)
    case damaged(Position)
    /// The next record was lost; the log goes on here.
    case lost(next: RecordOffset)
}

extension LogStore {
    /// Looks at the cursor's frame or batch header and moves on: to the next one in the entry's window, to the next
    /// entry, or to the next segment.
    func scan(_ read: RangeRead, _ sink: RecordSink) -> ScanStep {
        guard let segment = read.segment else { preconditionFailure("a scan without a segment") }
        read.share -= LogStoreLimits.stepBytesPerFrame
        let entry = read.entries[read.entryIndex]
        let cursor =
            read.cursor
            ?? .frame(segment.position + Int(entry.frame), batchEnd: segment.position + Int(entry.batchEnd))
        read.cursor = cursor
        switch cursor {
        case .batch(let position): return scanBatch(read, segment, position)
        case .frame(let position, let batchEnd):
            guard position < batchEnd else {
                moveToBatch(read, segment, behind: batchEnd)
                return .goOn
            }
            if isBehindWindow(read, segment, position) { return moveToNextEntry(read, position) }
            return scanFrame(read, sink, position, batchEnd)
        }
    }

    private func scanFrame(_ read: RangeRead, _ sink: RecordSink, _ position: Position, _ batchEnd: Position)
        -> ScanStep
    {
        guard let head = unsafe bytes(read, at: position, count: FrameHeader.byteCount) else {
            return .needs(position, bytes: FrameHeader.byteCount)
        }
        // In which way bytes are refused makes no difference here: they are not what was written.
        guard let header = unsafe try? FrameHeader(decoding: head) else { return .damaged(position) }
        let byteCount = Int(header.byteCount)
        guard byteCount <= batchEnd - position else { return .damaged(position) }
        if header.kind == .lost, header.logID == table[read.log].id {
            guard let bytes = unsafe bytes(read, at: position, count: byteCount) else {
                return .needs(position, bytes: byteCount)
            }
            guard let frame = unsafe try? FrameView(checking: bytes), let lost = frame.lostRecords else {
                return .damaged(position)
            }
            if lost.contains(read.next) { return .lost(next: lost.upperBound) }
        }
        let end = header.firstOffset + Int(header.recordCount)
        // Later records of the log may stand before the next ones, where those were moved.
        if header.kind == .append || header.kind == .moved, header.logID == table[read.log].id, end > read.next,
            header.firstOffset <= read.next
        {
            guard let bytes = unsafe bytes(read, at: position, count: byteCount) else {
                return .needs(position, bytes: byteCount)
            }
            // The frame's checksum is checked at every read.
            guard let frame = unsafe try? FrameView(checking: bytes) else { return .damaged(position) }
            if read.timeSearch != nil {
                read.search { $0.note(first: header.firstOffset, end: end, isOlder: header.timestamp < read.since) }
                return .goOn
            }
            switch deliver(frame, read, sink) {
            case .all: break
            case .refused: return .enough
            // The frame is looked at again.
            case .paused: return .goOn
            }
        }
        read.cursor = .frame(position + byteCount, batchEnd: batchEnd)
        return .goOn
    }

    private enum Delivery {
        case all
        /// The sink wants no more.
        case refused
        /// The step has cost enough.
        case paused
    }

    /// Gives the records of a frame from the next offset on to the sink.
    private func deliver(_ frame: FrameView, _ read: RangeRead, _ sink: RecordSink) -> Delivery {
        let first = frame.header.firstOffset
        let timestamp = frame.header.timestamp
        if timestamp < read.since {
            read.next = min(first + Int(frame.header.recordCount), read.tail)
            return .all
        }
        var delivery = Delivery.all
        unsafe frame.forEachRecord(from: read.next - first) { index, record in
            let offset = first + index
            // At the tail or at the end of its share the read ends or pauses, which `step` finds by itself.
            if offset >= read.tail || read.share <= 0 {
                delivery = .paused
                return false
            }
            guard unsafe sink.take(offset: offset, timestamp: timestamp, record: record) else {
                delivery = .refused
                return false
            }
            read.hasGiven = true
            read.next = offset + 1
            read.share -= record.count + LogStoreLimits.stepBytesPerRecord
            return true
        }
        return delivery
    }

    private func scanBatch(_ read: RangeRead, _ segment: Segment, _ position: Position) -> ScanStep {
        // What is behind the durable position is not there yet.
        if isBehindWindow(read, segment, position) || position >= min(segment.end, wal.durable.position) {
            return moveToNextEntry(read, position)
        }
        guard let head = unsafe bytes(read, at: position, count: BatchHeader.byteCount) else {
            return .needs(position, bytes: BatchHeader.byteCount)
        }
        // Where no batch follows, the window is through; a record that is missed so is found out at the next entry.
        guard let header = unsafe try? BatchView.header(at: head), header.storeID == wal.storeID,
            header.position == position
        else { return moveToNextEntry(read, position) }
        read.cursor = .frame(position + BatchHeader.byteCount, batchEnd: position + Int(header.byteCount))
        return .goOn
    }

    private func moveToBatch(_ read: RangeRead, _ segment: Segment, behind end: Position) {
        let block = Int(segment.header.blockBytes)
        read.cursor = .batch(segment.position + roundedUp(end - segment.position, to: block))
    }

    /// Whether the log's next frame has an entry of its own from here on. An entry that stands for a whole segment (its
    /// index was damaged) has no window.
    private func isBehindWindow(_ read: RangeRead, _ segment: Segment, _ position: Position) -> Bool {
        let entry = read.entries[read.entryIndex]
        return entry.batchEnd > 0 && (position - segment.position) / LogStoreLimits.indexWindowBytes > entry.window
    }

    private func moveToNextEntry(_ read: RangeRead, _ position: Position) -> ScanStep {
        read.cursor = nil
        read.entryIndex += 1
        guard read.entryIndex < read.entries.count else {
            // What comes next is in a later segment.
            read.entries = []
            return .goOn
        }
        return read.entries[read.entryIndex].offset == read.next ? .goOn : .damaged(position)
    }

    /// The bytes at a place, from the batches in memory or from what was read from the disk; nil if `count` are not there.
    private func bytes(_ read: RangeRead, at position: Position, count: Int) -> UnsafeRawBufferPointer? {
        if let (start, batch) = unsafe wal.recentBatch(containing: position) {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: batch[(position - start)...])
            return unsafe rest.count >= count ? rest : nil
        }
        return unsafe read.buffer.bytes(at: position, count: count)
    }
}
