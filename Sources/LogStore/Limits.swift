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
    /// Bytes of staged and in-flight frames unless configured.
    public static let pendingBytesDefault = 64 << 20
}
