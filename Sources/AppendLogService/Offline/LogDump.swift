import CommitLog
import LogFormat

/// What `appendlog dump` prints: what is whole, over damage, which goes to `report` as a line each.
public final class LogDump {
    /// Lines are given out in pieces of about this many bytes.
    private static let outputBytes = 64 << 10

    /// What a line is about.
    public enum Content {
        /// Each record, as `GET /v1/logs/{log}/records` gives it.
        case records
        /// Each frame: where it lies, and what it says.
        case frames
    }

    private let content: Content
    private let name: [UInt8]?
    private let output: ([UInt8]) -> Void
    private let report: (String) -> Void
    private var lines = JSONWriter()
    /// Whether a log of the name is there.
    public private(set) var isThere = false
    /// Whether nothing was damaged or missing.
    public private(set) var isWhole = false

    /// Prints a line of JSON for each, in the order in which they were written; with `name` only those of that log, else
    /// those of all logs, each with its log's name.
    public init(
        _ log: OfflineLog, _ content: Content, of name: [UInt8]?, _ output: @escaping ([UInt8]) -> Void,
        report: @escaping (String) -> Void = { _ in }
    ) throws(CommitLogError) {
        self.content = content
        self.name = name
        self.output = output
        self.report = report
        var scan = OfflineScan(log, self)
        defer { flush(ifFrom: 1) }
        try scan.run()
        isThere = name == nil || scan.logs.byID.values.contains { $0.name == name }
        isWhole = scan.damageCount == 0 && scan.lossCount == 0
    }

    private func flush(ifFrom bytesMin: Int) {
        guard lines.bytes.count >= bytesMin else { return }
        output(lines.bytes)
        lines.removeAll()
    }
}

extension LogDump: OfflineScanVisitor {
    func keep(_ frame: FrameView, _ place: FramePlace, log: [UInt8]?) {
        guard name == nil || name == log else { return }
        switch content {
        case .frames: lines.frame(frame.header, of: log, batch: place.batch, at: place.position)
        case .records:
            guard frame.header.kind == .append else { return }
            unsafe frame.forEachRecord(from: 0) { index, record in
                unsafe lines.recordLine(
                    log: name == nil ? log : nil, offset: frame.header.firstOffset + index,
                    timestamp: frame.header.timestamp, record: record)
                flush(ifFrom: Self.outputBytes)
                return true
            }
        }
        flush(ifFrom: Self.outputBytes)
    }

    func damage(_ damage: Damage) { report("damage: \(damage)") }
    func loss(_ loss: Loss) { report("missing: \(loss)") }
}

extension JSONWriter {
    /// Writes a frame's header as a line.
    fileprivate mutating func frame(
        _ header: FrameHeader, of log: [UInt8]?, batch: BatchNumber, at position: Position
    ) {
        literal("{")
        member("position", position.rawValue)
        literal(",")
        member("batch", batch.rawValue)
        literal(#","kind":"#)
        string("\(header.kind)")
        if let log {
            literal(#","log":"#)
            unsafe log.withUnsafeBytes { unsafe string($0) }
            literal(",")
            member("id", header.logID.rawValue)
            literal(",")
            member("first", header.firstOffset.rawValue)
            literal(",")
            member("count", UInt64(header.recordCount))
            literal(",")
            member("bytes", UInt64(header.payloadBytes))
        }
        literal(",")
        member("frame_bytes", UInt64(header.byteCount))
        literal(#","timestamp":"#)
        time(header.timestamp)
        literal("}\n")
    }
}
