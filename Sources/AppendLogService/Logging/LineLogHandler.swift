import CommitLog
import Glibc
import LogFormat
import Logging

/// How log lines look.
public enum LogLineFormat: String, Sendable, CaseIterable {
    /// `2026-11-22T22:05:03.123456Z info message key=value key="two words"`
    case text
    /// One JSON object a line.
    case json
}

/// Writes each log event to standard error as one line, with one write(2), so that lines of threads do not mix.
public struct LineLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let format: LogLineFormat

    /// The keys of the first line, in the order in which they are read; all others follow by their names.
    private static let leadingKeys = [
        "listening", "engine", "mode", "reason", "recovery", "recovery_ms", "data_dir",
    ]

    public init(_ format: LogLineFormat, level: Logger.Level) {
        self.format = format
        logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let given = event.metadata { fields.merge(given) { $1 } }
        let line = Self.line(format, SystemClock().now, event.level, "\(event.message)", fields)
        unsafe line.withUnsafeBytes { bytes in
            // There is nobody to tell about a standard error that takes nothing.
            unsafe _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }

    /// A whole line, its end included.
    static func line(
        _ format: LogLineFormat, _ time: Timestamp, _ level: Logger.Level, _ message: String, _ fields: Logger.Metadata
    ) -> [UInt8] {
        let sorted = fields.map { (key: $0.key, value: "\($0.value)") }.sorted { precedes($0.key, $1.key) }
        var line = JSONWriter()
        switch format {
        case .text: writeText(&line, time, level, message, sorted)
        case .json: writeJSON(&line, time, level, message, sorted)
        }
        line.literal("\n")
        return line.bytes
    }

    private static func writeText(
        _ line: inout JSONWriter, _ time: Timestamp, _ level: Logger.Level, _ message: String,
        _ fields: [(key: String, value: String)]
    ) {
        line.rawTime(time)
        line.raw(" \(level) ".utf8)
        line.raw(oneLine(message).utf8)
        for field in fields {
            line.raw(" \(field.key)=".utf8)
            if isPlain(field.value) { line.raw(field.value.utf8) } else { line.string(field.value) }
        }
    }

    private static func writeJSON(
        _ line: inout JSONWriter, _ time: Timestamp, _ level: Logger.Level, _ message: String,
        _ fields: [(key: String, value: String)]
    ) {
        line.literal(#"{"timestamp":"#)
        line.time(time)
        line.literal(#","level":"#)
        line.string(level.rawValue)
        line.literal(#","message":"#)
        line.string(message)
        for field in fields {
            line.literal(",")
            line.string(field.key)
            line.literal(":")
            line.string(field.value)
        }
        line.literal("}")
    }

    private static func precedes(_ left: String, _ right: String) -> Bool {
        let ranks = [left, right].map { leadingKeys.firstIndex(of: $0) ?? leadingKeys.count }
        return ranks[0] == ranks[1] ? left < right : ranks[0] < ranks[1]
    }

    /// Whether a value can be told from its surroundings without quotes.
    private static func isPlain(_ value: String) -> Bool {
        !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") }
    }

    private static func oneLine(_ message: String) -> String {
        message.contains { $0.isNewline } ? message.split { $0.isNewline }.joined(separator: " ") : message
    }
}
