import LogFormat
import WriteAheadLog

/// What `appendlog dump` prints.
public enum LogDump {
    /// Lines are given out in pieces of about this many bytes.
    private static let outputBytes = 64 << 10

    /// Gives each record as a line of NDJSON, as `GET /v1/logs/{log}/records` does; with `name` only those of that log,
    /// else those of all logs, each with its log's name, in the order in which they were written.
    ///
    /// Returns false if a log of that name is not there. Throws `damaged` at the first damage.
    public static func records(
        _ log: OfflineLog, of name: [UInt8]?, _ output: ([UInt8]) -> Void
    ) throws(WriteAheadLogError) -> Bool {
        var logs = OfflineLogs()
        var lines = JSONWriter()
        defer { Self.flush(&lines, ifFrom: 1, output) }
        _ = try log.forEachFrame { (frame, _, position, file) throws(WriteAheadLogError) in
            try logs.take(frame, at: position, in: file)
            guard frame.header.kind == .append, let frameLog = logs.byID[frame.header.logID]?.name,
                name == nil || name == frameLog
            else { return }
            unsafe frame.forEachRecord(from: 0) { index, record in
                unsafe lines.recordLine(
                    log: name == nil ? frameLog : nil, offset: frame.header.firstOffset + index,
                    timestamp: frame.header.timestamp, record: record)
                Self.flush(&lines, ifFrom: outputBytes, output)
                return true
            }
        }
        return name == nil || logs.byID.values.contains { $0.name == name }
    }

    /// Gives each frame as a line of JSON; with `name` only those of that log. Returns and throws as `records`.
    public static func frames(
        _ log: OfflineLog, of name: [UInt8]?, _ output: ([UInt8]) -> Void
    ) throws(WriteAheadLogError) -> Bool {
        var logs = OfflineLogs()
        var lines = JSONWriter()
        defer { Self.flush(&lines, ifFrom: 1, output) }
        _ = try log.forEachFrame { (frame, batch, position, file) throws(WriteAheadLogError) in
            try logs.take(frame, at: position, in: file)
            let frameLog = logs.byID[frame.header.logID]?.name
            guard name == nil || name == frameLog else { return }
            lines.frame(frame.header, of: frameLog, batch: batch.number, at: position)
            Self.flush(&lines, ifFrom: outputBytes, output)
        }
        return name == nil || logs.byID.values.contains { $0.name == name }
    }

    private static func flush(_ lines: inout JSONWriter, ifFrom bytesMin: Int, _ output: ([UInt8]) -> Void) {
        guard lines.bytes.count >= bytesMin else { return }
        output(lines.bytes)
        lines.removeAll()
    }
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
