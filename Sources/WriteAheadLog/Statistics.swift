import CommitLog
import Histogram

extension WriteAheadLog {
    /// What a log has done since it was opened, and where it stands: all of one moment.
    ///
    /// `next - durable` in bytes is `pendingBytes + 4 * pendingRecords`, always.
    public struct Statistics: Sendable, Equatable {
        /// Microseconds from handing a batch to the disk until it was durable: quantiles to two digits, 0 without batches.
        public struct SyncLatency: Sendable, Equatable {
            /// Half of the batches took at most so long.
            public let p50: Int
            /// 90 % of them.
            public let p90: Int
            /// 99 % of them.
            public let p99: Int
            /// 99.9 % of them.
            public let p999: Int
            /// The slowest one.
            public let max: Int
        }

        /// The first record that is kept, or where the next one goes if there is none.
        public let first: RecordPosition
        /// Everything before this place is on the disk.
        public let durable: RecordPosition
        /// Where the next record goes.
        public let next: RecordPosition
        /// Records that became durable.
        public let recordsWritten: Int
        /// Their own bytes.
        public let recordBytesWritten: Int
        /// Bytes written to the disk for that, with headers and the padding of the last block of each batch.
        public let bytesWritten: Int
        /// Batches that became durable; each was one write and one sync.
        public let batches: Int
        /// Records that were accepted and are not durable yet.
        public let pendingRecords: Int
        /// Their own bytes.
        public let pendingBytes: Int
        /// The pending records that are with the disk.
        public let inFlightRecords: Int
        /// Their own bytes.
        public let inFlightBytes: Int
        /// How long batches took to become durable.
        public let syncLatency: SyncLatency
        /// Bytes that the segment files take.
        public let diskBytes: Int
        /// `io_uring` or `syscalls`.
        public let engine: String
        /// `direct` or `buffered`.
        public let mode: String
        /// Why this engine and mode were chosen; a sentence.
        public let reason: String
        /// What the log failed with; nil while it works.
        public let poisoned: String?
    }
}

extension WriteAheadLog.Statistics {
    /// With the lock held.
    init(_ records: RecordLog) {
        let log = records.log
        let (staged, inFlight) = log.pending
        let counters = log.counters
        // What is staged goes when the log is poisoned: nothing is pending any more, and what was accepted failed.
        let isPoisoned = log.poisonCause != nil
        first = records.durable.lowerBound
        durable = records.durable.upperBound
        next = isPoisoned ? durable : records.sequenced.upperBound
        recordsWritten = Int(counters.records)
        recordBytesWritten = Int(counters.recordBytes)
        bytesWritten = Int(counters.bytes)
        batches = Int(counters.batches)
        inFlightRecords = isPoisoned ? 0 : inFlight.records
        inFlightBytes = isPoisoned ? 0 : inFlight.recordBytes
        pendingRecords = isPoisoned ? 0 : staged.records + inFlight.records
        pendingBytes = isPoisoned ? 0 : staged.recordBytes + inFlight.recordBytes
        syncLatency = SyncLatency(counters.syncLatency)
        diskBytes = log.diskBytes
        engine = log.engine.kind.rawValue
        mode = log.engine.mode.rawValue
        reason = log.engine.reason
        poisoned = log.poisonCause?.description
    }
}

extension WriteAheadLog.Statistics.SyncLatency {
    init(_ histogram: Histogram<UInt32>) {
        func quantile(_ percent: Double) -> Int {
            histogram.totalCount == 0 ? 0 : Int(histogram.valueAtPercentile(percent))
        }
        p50 = quantile(50)
        p90 = quantile(90)
        p99 = quantile(99)
        p999 = quantile(99.9)
        max = histogram.totalCount == 0 ? 0 : Int(histogram.max)
    }
}
