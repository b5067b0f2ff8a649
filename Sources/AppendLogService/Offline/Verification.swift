import CommitLog
import LogFormat
import LogStore

/// What `appendlog verify` found in a data directory.
public struct Verification: Sendable {
    public private(set) var segmentCount = 0
    public private(set) var batchCount = 0
    public private(set) var frameCount = 0
    public private(set) var recordCount: UInt64 = 0
    /// Bytes of the records.
    public private(set) var recordBytes: UInt64 = 0
    public private(set) var logCount = 0
    public private(set) var tail = OfflineTail()
    public private(set) var checkpointCount = 0
    public private(set) var damageCount = 0
    /// Those of the damages for which nothing is missing.
    public private(set) var complaintCount = 0
    public private(set) var lossCount = 0

    /// Reads everything and gives each damage, and what is missing for it, to `report` as a line.
    public init(_ log: OfflineLog, _ report: @escaping (String) -> Void = { _ in }) throws(CommitLogError) {
        let reporter = Reporter(report)
        var scan = OfflineScan(log, reporter)
        try scan.run()
        tail = scan.tail
        segmentCount = log.segments.count
        batchCount = tail.batchCount
        frameCount = scan.frameCount
        logCount = scan.logs.byID.count
        recordCount = scan.logs.byID.values.reduce(0) { $0 + $1.recordCount }
        recordBytes = scan.logs.byID.values.reduce(0) { $0 + $1.bytes }
        checkpointCount = log.checkpoints.count { $0.payload != nil }
        damageCount = scan.damageCount
        complaintCount = scan.complaintCount
        lossCount = scan.lossCount
    }

    public var isWhole: Bool { damageCount == 0 && lossCount == 0 }

    /// A few lines for a person.
    public var summary: String {
        var lines = [
            "segments     \(segmentCount)", "batches      \(batchCount)", "frames       \(frameCount)",
            "logs         \(logCount)", "records      \(recordCount)", "record bytes \(recordBytes)",
            "checkpoints  \(checkpointCount)",
        ]
        lines.append("tail         \(tail.sentence)")
        lines.append(
            isWhole ? "no damage" : "damage       \(damageCount) places; \(lossCount) losses")
        return lines.joined(separator: "\n") + "\n"
    }
}

extension OfflineTail {
    /// Where the batches end, for a person.
    var sentence: String {
        tornBytes == 0
            ? "whole, at position \(position)"
            : "at position \(position), followed by \(tornBytes) bytes of a batch that was never acknowledged; the next "
                + "start cuts them"
    }
}

/// Gives damage and losses on as lines.
final class Reporter: OfflineScanVisitor {
    private let report: (String) -> Void

    init(_ report: @escaping (String) -> Void) { self.report = report }

    func keep(_ frame: FrameView, _ place: FramePlace, log: [UInt8]?) {}
    func damage(_ damage: Damage) { report("damage: \(damage)") }
    func loss(_ loss: Loss) { report("missing: \(loss)") }
}
