import LogFormat
import WriteAheadLog

/// What `appendlog verify` found in a data directory without damage.
public struct Verification: Equatable, Sendable {
    public private(set) var segmentCount = 0
    public private(set) var batchCount = 0
    public private(set) var frameCount = 0
    public private(set) var recordCount: UInt64 = 0
    /// Bytes of the records.
    public private(set) var recordBytes: UInt64 = 0
    public private(set) var logCount = 0
    public private(set) var tail: OfflineTail
    public private(set) var wholeCheckpoints: [String] = []
    public private(set) var unreadableCheckpoints: [String] = []

    /// Reads everything. Throws `damaged` with file and position at the first damage.
    public init(_ log: OfflineLog) throws(WriteAheadLogError) {
        var batches: Set<BatchNumber> = []
        var logs = OfflineLogs()
        var frameCount = 0
        tail = try log.forEachFrame { (frame, batch, position, file) throws(WriteAheadLogError) in
            try logs.take(frame, at: position, in: file)
            batches.insert(batch.number)
            frameCount += 1
        }
        self.frameCount = frameCount
        segmentCount = log.segments.count
        batchCount = batches.count
        logCount = logs.byID.count
        recordCount = logs.byID.values.reduce(0) { $0 + $1.next.rawValue }
        recordBytes = logs.byID.values.reduce(0) { $0 + $1.bytes }
        for checkpoint in try log.checkpoints() {
            if checkpoint.isWhole {
                wholeCheckpoints.append(checkpoint.name)
            } else {
                unreadableCheckpoints.append(checkpoint.name)
            }
        }
    }

    /// A few lines for a person.
    public var summary: String {
        var lines = [
            "segments     \(segmentCount)", "batches      \(batchCount)", "frames       \(frameCount)",
            "logs         \(logCount)", "records      \(recordCount)", "record bytes \(recordBytes)",
            "checkpoints  \(wholeCheckpoints.count) whole, \(unreadableCheckpoints.count) unreadable",
        ]
        for name in unreadableCheckpoints {
            lines.append("  unreadable: \(name) (not needed: the log itself is whole)")
        }
        lines.append(
            tail.tornBytes == 0
                ? "tail         whole, at position \(tail.position)"
                : "tail         at position \(tail.position), followed by \(tail.tornBytes) bytes of a batch that was "
                    + "never acknowledged; the next start cuts them")
        lines.append("no damage")
        return lines.joined(separator: "\n") + "\n"
    }
}
