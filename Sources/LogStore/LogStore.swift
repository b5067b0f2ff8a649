import CommitLog
import LogFormat

/// How a store is opened.
public struct LogStoreConfiguration: Sendable {
    public var wal: CommitLogConfiguration
    /// Bytes of frames that may be staged and in flight together.
    public var pendingBytesMax = LogStoreLimits.pendingBytesDefault
    /// Whether an append to a log that is not there makes it.
    public var autoCreate = true
    public var identities = IdentityLimits()

    public init(wal: CommitLogConfiguration) {
        self.wal = wal
    }
}

/// Many named logs over one write-ahead log.
///
/// Appends are validated against the sequenced state and change it; `publish` makes it durable state, which is all
/// that reads, listings and summaries see. Everything is called from the loop's thread.
public final class LogStore {
    public let configuration: LogStoreConfiguration
    public let wal: CommitLog
    var table: LogTable
    var nextID: LogID
    /// All ids below it are durable, or of logs that were.
    var durableNextID: LogID
    var lastTimestamp: Timestamp
    var pending = PendingFrames()
    /// Durable records and their bytes over all logs.
    var recordCount: UInt64 = 0
    var recordBytes: UInt64 = 0
    var durableLogCount = 0
    /// Durable logs whose settings limit the appends.
    var limitedLogCount = 0
    /// What was sequenced, as the fields of `LogState` that are called so.
    var producers: Producers
    var keys: IdempotencyKeys
    var activeIndex: ActiveIndex
    /// Indexes of sealed segments that are not in place on the disk yet.
    var unwrittenIndexes: [Position: ActiveIndex]
    var checkpoint: CheckpointBuilder?
    var checkpoints = CheckpointSchedule()
    var retention = RetentionPass()
    var relocation = Relocation()
    /// Reads that wait for the disk.
    var reads: [UInt64: RangeRead] = [:]
    var nextReadNumber: UInt64 = 1
    let clock: any LogClock

    /// Opens the store in its data directory and recovers it. Must be called on the loop's thread.
    public static func open(
        _ configuration: LogStoreConfiguration, fileSystem: any FileSystem = PosixFileSystem(),
        clock: any LogClock = SystemClock()
    ) throws(CommitLogError) -> LogStore {
        try open(configuration, fileSystem: fileSystem, clock: clock) { visitor throws(CommitLogError) in
            try CommitLog.open(configuration.wal, fileSystem: fileSystem, clock: clock, visitor: visitor)
        }
    }

    /// As the public one, with a write-ahead log that is opened otherwise.
    static func open(
        _ configuration: LogStoreConfiguration, fileSystem: any FileSystem, clock: any LogClock,
        openLog: (any RecoveryVisitor) throws(CommitLogError) -> CommitLog
    ) throws(CommitLogError) -> LogStore {
        let replay = StoreReplay(
            directory: configuration.wal.directory, fileSystem: fileSystem,
            identities: configuration.identities)
        return LogStore(configuration, try openLog(replay), replay, clock)
    }

    private init(
        _ configuration: LogStoreConfiguration, _ wal: CommitLog, _ replay: StoreReplay, _ clock: any LogClock
    ) {
        self.configuration = configuration
        self.wal = wal
        self.clock = clock
        table = replay.table
        nextID = replay.nextID
        durableNextID = replay.nextID
        lastTimestamp = replay.lastTimestamp
        activeIndex = replay.activeIndex ?? ActiveIndex(segment: wal.active.position)
        producers = replay.producers
        keys = replay.keys
        unwrittenIndexes = [:]
        for index in 0..<table.count {
            let state = table[table.slot(at: Int32(index))]
            guard state.isShown else { continue }
            recordCount += state.durableNext.rawValue - state.first.rawValue
            recordBytes += state.bytes
            durableLogCount += 1
            limitedLogCount += state.settings?.limitCount ?? 0
        }
        // The epoch's batch may have begun a new segment.
        if activeIndex.segment != wal.active.position { sealActiveIndex(next: wal.active.position) }
        for (index, bytes) in replay.lostIndexes { putInPlace(index, bytes) }
        checkpoints.isWanted = wal.segments.count > 1 || wal.hasRetiredLeftovers
    }

    /// The slot of a durable log.
    public func slot(named name: UnsafeRawBufferPointer) -> LogSlot? {
        unsafe table.shownSlot(named: name)
    }

    /// Whether the log is still there: after its deletion the slot becomes another's.
    public func isShown(_ slot: LogSlot) -> Bool { table.isShown(slot) }

    public func summary(_ slot: LogSlot) -> LogSummary { table.summary(slot) }

    /// Durable logs in the order of their names, and the name to go on after if there are more.
    public func list(prefix: [UInt8], after: [UInt8]?, limit: Int) -> (logs: [LogSummary], nextAfter: [UInt8]?) {
        table.list(prefix: prefix, after: after, limit: limit)
    }

    /// Durable logs, records and bytes of records.
    public var totals: (logs: Int, records: UInt64, bytes: UInt64) { (durableLogCount, recordCount, recordBytes) }

    /// Seals the log and waits until everything is durable. The owner has stopped appending.
    public func close(deadlineMicroseconds: Int64) -> Bool {
        wal.finish(deadlineMicroseconds: deadlineMicroseconds)
    }
}
