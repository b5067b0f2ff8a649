import CommitLog
import LogFormat

extension CommitLoop {
    /// The segment that a reader reads, as it is now.
    struct Part {
        let segment: Segment
        /// The batch to begin with, for one that has not begun.
        let start: Position
        /// Batches may still come.
        let isActive: Bool
        /// It is written past the page cache, and so it must be read.
        let isDirect: Bool
        /// The position behind the last durable batch of the log.
        let durableEnd: Position
    }

    /// The segment at a position of the write-ahead log or behind it, or where to begin for a record. Throws `truncated`
    /// where the record has been let go of.
    func part(at place: Position?, or position: RecordPosition) throws(WriteAheadLogError) -> Part {
        try withRecords { records throws(WriteAheadLogError) in
            let first = records.durable.lowerBound
            let begin = records.index.mark(before: position)?.batch
            // A reader that stands at the end of a segment may find it gone: it goes on with the next one.
            guard position >= first, let start = place ?? begin,
                let segment = records.log.segments.first(where: { $0.limit > start })
            else { throw .truncated(first: first) }
            let isActive = segment.position == records.log.active.position
            return Part(
                segment: segment, start: max(start, segment.firstBatchPosition), isActive: isActive,
                isDirect: isActive && records.log.engine.mode == .direct, durableEnd: records.log.durable.position)
        }
    }

    /// Looks at the log with the lock held; throws `shutDown` when it is gone.
    func withRecords<Value>(
        _ body: (RecordLog) throws(WriteAheadLogError) -> Value
    ) throws(WriteAheadLogError) -> Value {
        try lock.withLock { () throws(WriteAheadLogError) in
            guard let records else { throw .shutDown }
            return try body(records)
        }
    }

    /// Where the log stands, or stood when it ended.
    var statistics: WriteAheadLog.Statistics {
        lock.withLock {
            guard let records else { return lastStatistics! }
            return WriteAheadLog.Statistics(records)
        }
    }
}
