import CommitLog

/// What opening a log found.
public struct RecoveryReport: Sendable, Equatable {
    /// The directory held no log: one was made.
    public let isNew: Bool
    /// The first record that is kept, or where the next one goes if there is none.
    public let first: RecordPosition
    /// Where the next record goes: appending continues behind the last durable one.
    public let next: RecordPosition
    /// Batches that were read again: those behind the newest checkpoint, about a segment.
    public let batchesReplayed: Int
    /// Records in those batches.
    public let recordsReplayed: Int
    /// Bytes of a torn batch at the end, in whole blocks, that were cut off: it was never acknowledged. 0 without one.
    public let tornBytes: Int
    /// The files under the log's directory that these bytes were saved to.
    public let tornBytesSavedTo: [String]
    /// Names of checkpoints that were unreadable: older ones, or the log itself, were used instead.
    public let unreadableCheckpoints: [String]
    /// Microseconds that opening took.
    public let microseconds: Int

    init(_ records: RecordLog) {
        let report = records.log.recovery
        isNew = report.isNewStore
        first = records.durable.lowerBound
        next = records.durable.upperBound
        batchesReplayed = report.batchesReplayed
        recordsReplayed = records.replayedRecordCount
        tornBytes = report.tornBytes
        tornBytesSavedTo = report.savedTo
        unreadableCheckpoints = report.ignoredCheckpoints
        microseconds = Int(report.microseconds)
    }
}
