import Histogram

/// What the log has done since it was opened.
public struct Counters {
    /// Frames that are staged or in flight.
    public struct Amount: Equatable, Sendable {
        public private(set) var frames = 0
        public private(set) var records = 0
        /// Bytes of the frames, headers included.
        public private(set) var bytes = 0
        /// Bytes of the records alone.
        public private(set) var recordBytes = 0

        mutating func add(records: Int, bytes: Int, recordBytes: Int) {
            frames += 1
            self.records += records
            self.bytes += bytes
            self.recordBytes += recordBytes
        }
    }

    public private(set) var batches: UInt64 = 0
    public private(set) var records: UInt64 = 0
    public private(set) var recordBytes: UInt64 = 0
    /// Bytes written to the disk, padding included.
    public private(set) var bytes: UInt64 = 0
    public private(set) var lastBatchBytes = 0
    public private(set) var lastBatchRecords = 0
    /// Microseconds from the hand-over of a batch to its durability.
    public private(set) var syncLatency = Histogram<UInt32>(
        lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: .two)

    mutating func add(_ batch: InFlightBatch, latencyMicroseconds: Int64) {
        batches += 1
        records += UInt64(batch.staged.records)
        recordBytes += UInt64(batch.staged.recordBytes)
        bytes += UInt64(batch.paddedBytes)
        lastBatchBytes = batch.paddedBytes
        lastBatchRecords = batch.staged.records
        // A longer one counts as the longest that the histogram holds.
        syncLatency.record(UInt64(min(max(latencyMicroseconds, 1), 60_000_000)))
    }
}
