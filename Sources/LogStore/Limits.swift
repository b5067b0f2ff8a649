/// Every limit of the log store, with its unit and its reason.
public enum LogStoreLimits {
    /// Bytes of the longest log name: it fits any file name and stays readable in a URL.
    public static let logNameBytesMax = 128
    /// Bytes of the write-ahead log for which one index entry of a log stands: what a read scans through at most.
    public static let indexWindowBytes = 64 << 10
    /// Bytes that a read fetches from the disk at once.
    public static let readBytes = 256 << 10
    /// What one step of a read may cost, in bytes of records given: about half a millisecond of encoding.
    public static let stepBytesMax = 256 << 10
    /// What a record costs beside its bytes.
    public static let stepBytesPerRecord = 256
    /// What a frame or batch that is looked at costs.
    public static let stepBytesPerFrame = 64
    /// Logs that one turn of the loop adds to a checkpoint: about half a millisecond (2,000 took 2 to 12).
    public static let checkpointLogsPerTurn = 250
    /// Microseconds between two looks at what the logs' retention lets go.
    public static let retentionMicroseconds: Int64 = 1_000_000
    /// Logs that one turn of the loop looks at for that, and trims that it stages.
    public static let retentionLogsPerTurn = 250
    public static let retentionTrimsPerTurn = 16
    /// A segment is packed when at most this part of its bytes is of records that are kept: each byte that is copied then
    /// frees another one at least.
    public static let packedLiveShareMax = 0.5
    /// Logs that one turn of the loop looks at to find such segments.
    public static let surveyedLogsPerTurn = 250
    /// Microseconds between two such looks.
    public static let surveyMicroseconds: Int64 = 1_000_000
    /// Bytes of frames that are copied at once, so that they delay requests little; the next ones follow when they are durable.
    public static let movedBytesPerBatch = 64 << 10
    /// Microseconds after a failed read of such a segment, and how many failures there may be before it is left as it is.
    public static let failedPackingMicroseconds: Int64 = 1_000_000
    public static let failedPackingReadsMax = 10
    /// Microseconds after which a copy is tried again that found no room.
    public static let packingRetryMicroseconds: Int64 = 100_000
    /// Microseconds between two reads of a segment that is packed: 25 MB a second.
    public static let packingReadMicroseconds: Int64 = 10_000
    /// Bytes of staged and in-flight frames unless configured.
    public static let pendingBytesDefault = 64 << 20
    /// Answers that a producer's repeats can get again: as many requests as a client may have under way, and more.
    public static let producerAnswersKept = 64
    /// Answers of a producer that are dropped together.
    static let producerAnswersDroppedAtOnce = 16
    /// Producers of all logs unless configured: with the most answers each, about 130 MiB.
    public static let producersDefault = 32_768
    /// A producer that has not appended for so long is forgotten: seven days.
    public static let producerIdleMicroseconds: UInt64 = 7 * 86_400 * 1_000_000
    /// Bytes of the longest idempotency key.
    public static let keyLengthBytesMax = 128
    /// Seconds for which an idempotency key is kept unless configured: a day.
    public static let keyWindowSecondsDefault = 86_400
    /// Idempotency keys of all logs unless configured: about 200 MiB.
    public static let keysDefault = 1_000_000
    /// Memory of all idempotency keys: beyond it new ones are refused.
    public static let keyBytesMax = 256 << 20
    /// Memory of a key beside its bytes, in two tables, about.
    static let keyOverheadBytes = 144
    /// Producers, and keys, that one turn of the loop forgets or puts into a checkpoint.
    static let identitiesExpiredPerTurn = 250
    /// Bytes of the fields of an append: a producer with the longest id, or the longest key and a fingerprint; and its place
    /// in a group.
    public static let appendFieldsBytesMax = 192
    /// Bytes of the fields of a creation: the longest name and media type, and a configuration.
    public static let creationFieldsBytesMax = 448
    /// Appends of one group.
    public static let groupAppendsMax = 1_000
}
