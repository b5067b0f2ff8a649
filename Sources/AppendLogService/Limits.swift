/// Every limit of the service, with its unit and its reason. Those of connections and bodies are `HTTPLimits`.
public enum ServiceLimits {
    /// Bytes of one record unless configured: fits a request body with room for framing.
    public static let recordBytesDefault = 1 << 20
    /// Records of one request unless configured: their lengths and the largest body fit one batch.
    public static let recordsPerRequestDefault = 65_536
    /// Records in a page unless asked for.
    static let pageRecordsDefault: UInt64 = 1_000
    /// Records in a page at most: it is encoded in slices between which the loop serves others, and held whole.
    static let pageRecordsMax: UInt64 = 10_000
    /// Bytes of records in a page unless asked for.
    static let pageBytesDefault: UInt64 = 1 << 20
    /// Bytes of records in a page at most: it is held whole in memory.
    static let pageBytesMax: UInt64 = 4 << 20
    /// Seconds that a page waits for a record at most: proxies give up on an answer that
    /// has not begun after 60.
    static let waitSecondsMax: UInt64 = 50
    /// Seconds for which a page that can no longer change may be kept: a year, what RFC 2616 called forever.
    static let immutableSeconds = 31_536_000
    /// Bytes of pages that wait for the disk and of answers that clients have not read: beyond it reads get 503. Enough
    /// for a hundred pages of the default size; a thousand clients that do not read their answers cost no more.
    static let readingBytesMax = 128 << 20
    /// Bytes that a waiting read of a single record counts.
    static let recordReadBytes = 1 << 20
    /// Bytes of an idempotency key or a producer's id: a frame's fields hold one, and the store keeps it in memory.
    static let identityBytesMax = 128
    /// The largest epoch and sequence number: fits every language's signed 64-bit integer.
    static let producerNumberMax = UInt64(Int64.max)
    /// Bytes of the body of a batch, however large other bodies may be: parsing 1 MiB of JSON takes 0.1 to 0.9 ms, in which
    /// the loop serves nobody else (measured on the 2-core machine).
    static let batchBodyBytesMax = 1_114_112
    /// Appends of one batch: their frames fit a batch of the write-ahead log beside the largest body.
    static let appendsPerBatchMax = 1_000
    /// Bytes of a JSON body that is not a batch: no settings need more.
    static let jsonBodyBytesMax = 64 << 10
    /// Bytes of a JSON text whose parser is kept for the next one: it takes up to 14 times as much.
    static let keptJSONBytesMax = 64 << 10
    /// Bytes of the content type of a log: it lies in one byte's length beside others in a checkpoint.
    static let contentTypeBytesMax = 255
    /// Seconds of retention by age: 1,000 years; in microseconds it fits 64 bits.
    static let retentionSecondsMax: UInt64 = 31_557_600_000
    /// Bytes and records of retention: fits every language's signed 64-bit integer.
    static let retentionAmountMax = UInt64(Int64.max)
    /// Appends a second that a log's rate limit may allow: more than any machine takes.
    static let appendsPerSecondMaxMax: UInt64 = 1_000_000
    /// Logs whose rate limits are remembered before those that are idle are forgotten.
    static let rateBucketsMax = 10_000
    /// Logs in a page unless asked for.
    static let logPageDefault: UInt64 = 100
    /// Logs in a page of `/v1/logs` at most: about 1 ms of work.
    static let logPageMax: UInt64 = 1_000
    /// Logs in a page of `/v1/stats` at most: it is asked often.
    static let statsPageMax: UInt64 = 100
    /// Seconds from the signal to the exit, at most, unless configured.
    public static let drainSecondsDefault = 30
    /// Microseconds that the last commit gets when the drain's deadline has passed already.
    static let closeMicrosecondsMin: Int64 = 1_000_000
    /// Microseconds between two looks at deadlines.
    static let tickMicroseconds: Int64 = 100_000
    /// Connections that must have been open before their memory is worth the time of a trim.
    static let trimmedConnectionsMin = 64
    /// Microseconds between two log lines about a full disk.
    static let fullDiskNoteMicroseconds: Int64 = 60_000_000
    /// Descriptors that are not connections: segments being read, the ring, the daemon's own.
    static let reservedDescriptors = 160

    // MARK: Live tails and streams

    /// Clients that follow logs with server-sent events, all together, unless configured; they also count as connections.
    public static let subscribersDefault = 10_000
    /// Seconds without anything sent after which a live tail gets a comment, unless configured: proxies cut connections that
    /// are idle for 30 to 60 s.
    public static let keepAliveSecondsDefault = 15
    /// Bytes of events that are encoded at once, about: half a millisecond of work.
    static let livePieceBytes = 128 << 10
    /// What it falls to when many subscribers do not read what they were given.
    static let livePieceBytesMin = 4 << 10
    /// Bytes of the shared events of one log: a subscriber further behind is too slow.
    static let liveLogBytesMax = 4 << 20
    /// Bytes of all events in memory: beyond it the oldest shared ones go, and nobody reads more from the disk.
    static let liveBytesMax = 64 << 20
    /// The kernel's send buffer of a subscriber, in bytes: it grows to 4 MiB else, times the subscribers.
    static let liveSendBufferBytes: Int32 = 128 << 10
    /// Subscribers that wait for the disk at the same time: each has a buffer of 256 KiB.
    static let liveReadsMax = 64
    /// Microseconds from one round of deliveries to the next, at least: many records a write.
    static let liveRoundMicroseconds: Int64 = 10_000
    /// A round takes this many times as long as its streams need to send, with the pause behind it: 1,000 subscribers take 3 to
    /// 5 ms, and appends beside them keep half of the loop.
    static let liveRoundPerSending: Int64 = 2
    /// Microseconds of a turn of the loop that a round takes for encoding events and answering long polls.
    static let liveTurnMicroseconds: Int64 = 500
    /// A round that takes longer is taken for ended: some streams always have something to send.
    static let liveRoundMicrosecondsMax: Int64 = 30_000
    /// Woken streams that may be left when a round ends: those that catch up are always woken.
    static let liveRoundRestStreams = 64
    /// Answers that stream all records of a log, at the same time: each has a buffer of 256 KiB and a piece.
    static let recordStreamsMax = 64
    /// Bytes of a piece of such an answer, unless one record is larger: what one read from the disk brings fits.
    static let recordPieceBytes = 320 << 10
    /// One pass over all subscribers takes this many ticks.
    static let liveTicksPerPass = 10
}
