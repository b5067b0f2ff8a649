import LogFormat
import WriteAheadLog

/// The payload of a checkpoint: the durable state of every log, gathered in slices while the log goes on.
///
/// A log's state may be newer than the anchor: the replay from the anchor skips what it has already.
/// Little-endian: u32 version, u32 count of logs, u64 next log id, u64 last timestamp, then for each log u64 id,
/// u64 created, u64 first offset, u64 next offset, u64 bytes, u8 bytes of the name, the name.
struct CheckpointBuilder {
    static let version: UInt32 = 1

    let anchor: ScanAnchor
    private var logs = ByteWriter()
    private var logCount: UInt32 = 0
    private var nextSlot: Int32 = 0

    init(anchor: ScanAnchor) {
        self.anchor = anchor
    }

    mutating func addSlice(of table: LogTable) {
        let end = min(Int32(table.count), nextSlot + Int32(LogStoreLimits.checkpointLogsPerTurn))
        while nextSlot < end {
            let slot = LogSlot(index: nextSlot)
            if table[slot].isDurable { add(table[slot], name: table.name(of: slot)) }
            nextSlot += 1
        }
    }

    /// Logs made after the last slice are behind the anchor and are found by the replay.
    func isComplete(_ table: LogTable) -> Bool { Int(nextSlot) == table.count }

    private mutating func add(_ state: LogState, name: ArraySlice<UInt8>) {
        logs.append(state.id.rawValue)
        logs.append(state.created.rawValue)
        logs.append(state.first.rawValue)
        logs.append(state.durableNext.rawValue)
        logs.append(state.bytes)
        logs.append(UInt8(name.count))
        logs.append(bytes: name)
        logCount += 1
    }

    func payload(nextID: LogID, lastTimestamp: Timestamp) -> [UInt8] {
        var writer = ByteWriter(reservingBytes: logs.count + 24)
        writer.append(Self.version)
        writer.append(logCount)
        writer.append(nextID.rawValue)
        writer.append(lastTimestamp.rawValue)
        writer.append(bytes: logs.bytes)
        return writer.bytes
    }
}
