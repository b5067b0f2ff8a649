import CommitLog
import LogFormat

/// The payload of a checkpoint: the durable state of every log, producer and key, gathered in slices while the log goes on.
///
/// What it says may be newer than the anchor: the replay from the anchor skips what it has already.
/// Little-endian: u32 version, u32 count of logs, u64 next log id, u64 last timestamp, u64 known-below, u32 count of
/// producers, u32 count of keys; then each log: u64 id, u64 created, u64 first offset, u64 next offset, u64 bytes, u8 1 if it
/// is closed, u64 timestamp of its last record, u8 bytes of the name, the name, u8 bytes of the media type, the media type, four u64 as in the field
/// `configuration`; then the producers and the keys, as `Producers` and `IdempotencyKeys` write them.
///
/// A log with an id below known-below that is not in the payload was deleted.
struct CheckpointBuilder {
    static let version: UInt32 = 3
    static let headBytes = 40

    let anchor: ScanAnchor
    /// The segments before the anchor that hold records.
    let kept: [Position]
    /// All ids below it were durable logs when the checkpoint was begun.
    private let knownBelow: LogID
    /// The keys that were there then; later ones are behind the anchor.
    private let keys: Range<Int>
    private var logs = ByteWriter()
    private var producers = ByteWriter()
    private var keyEntries = ByteWriter()
    private var logCount: UInt32 = 0
    private var producerCount: UInt32 = 0
    private var keyCount: UInt32 = 0
    private var nextSlot: Int32 = 0
    private var nextProducer = 0
    private var nextKey: Int

    init(anchor: ScanAnchor, kept: [Position] = [], knownBelow: LogID, keys: Range<Int>) {
        self.anchor = anchor
        self.kept = kept
        self.knownBelow = knownBelow
        self.keys = keys
        nextKey = keys.lowerBound
    }

    /// Adds some of what is left.
    mutating func addSlice(
        _ table: LogTable, _ producers: Producers, _ keys: IdempotencyKeys, durable: BatchNumber
    ) {
        if Int(nextSlot) < table.count { return addLogs(of: table) }
        if nextProducer < producers.placeCount { return addProducers(of: producers, durable) }
        addKeys(of: keys, durable)
    }

    private mutating func addLogs(of table: LogTable) {
        let end = min(Int32(table.count), nextSlot + Int32(LogStoreLimits.checkpointLogsPerTurn))
        while nextSlot < end {
            let slot = table.slot(at: nextSlot)
            // Later ones are behind the anchor, and may have the name of one that is in the payload.
            if table[slot].isShown && table[slot].id < knownBelow { add(table[slot], name: table.name(of: slot)) }
            nextSlot += 1
        }
    }

    private mutating func addProducers(of source: Producers, _ durable: BatchNumber) {
        let end = min(source.placeCount, nextProducer + LogStoreLimits.identitiesExpiredPerTurn / 8)
        while nextProducer < end {
            if source.write(nextProducer, durable: durable, to: &producers) { producerCount += 1 }
            nextProducer += 1
        }
    }

    private mutating func addKeys(of source: IdempotencyKeys, _ durable: BatchNumber) {
        // Those before it have been forgotten meanwhile.
        nextKey = max(nextKey, source.range.lowerBound)
        let end = min(keys.upperBound, nextKey + LogStoreLimits.identitiesExpiredPerTurn)
        while nextKey < end {
            if source.write(nextKey, durable: durable, to: &keyEntries) { keyCount += 1 }
            nextKey += 1
        }
    }

    /// Logs and producers made after the last slice are behind the anchor and are found by the replay.
    func isComplete(_ table: LogTable, _ producers: Producers) -> Bool {
        Int(nextSlot) >= table.count && nextProducer >= producers.placeCount && nextKey >= keys.upperBound
    }

    private mutating func add(_ state: LogState, name: ArraySlice<UInt8>) {
        logs.append(state.id.rawValue)
        logs.append(state.created.rawValue)
        logs.append(state.first.rawValue)
        logs.append(state.durableNext.rawValue)
        logs.append(state.bytes)
        logs.append(UInt8(state.isClosed ? 1 : 0))
        logs.append(state.lastAppend.rawValue)
        logs.append(UInt8(name.count))
        logs.append(bytes: name)
        let settings = state.settings?.settings ?? LogSettings()
        logs.append(UInt8(settings.contentType?.count ?? 0))
        if let contentType = settings.contentType { logs.append(bytes: contentType) }
        settings.writeNumbers(to: &logs)
        logCount += 1
    }

    func payload(nextID: LogID, lastTimestamp: Timestamp) -> [UInt8] {
        var writer = ByteWriter(reservingBytes: logs.count + producers.count + keyEntries.count + Self.headBytes)
        writer.append(Self.version)
        writer.append(logCount)
        writer.append(nextID.rawValue)
        writer.append(lastTimestamp.rawValue)
        writer.append(knownBelow.rawValue)
        writer.append(producerCount)
        writer.append(keyCount)
        writer.append(bytes: logs.bytes)
        writer.append(bytes: producers.bytes)
        writer.append(bytes: keyEntries.bytes)
        return writer.bytes
    }
}
