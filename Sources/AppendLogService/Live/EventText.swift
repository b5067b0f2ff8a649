import HTTPFrontEnd
import LogFormat
import LogStore

/// The text of server-sent events (the HTML standard, 9.2.5) as the live tail has them.
enum EventText {
    /// Says after how many milliseconds a client that lost its connection comes again. Sent once, at the beginning.
    static let retry = text("retry: 1000\n\n")
    static let keepAlive = text(": keep-alive\n\n")
    static let draining = text(": draining, resume with Last-Event-ID\n\n")
    static let tooSlow = text(": too slow, resume with Last-Event-ID\n\n")
    static let unreadable = text(": the next record cannot be read, see the answer of a plain read\n\n")
    static let closed = text("event: closed\ndata: {}\n\n")
    static let deleted = text("event: deleted\ndata: {}\n\n")

    private static func text(_ text: StaticString) -> [UInt8] {
        Array("\(text)".utf8)
    }
}

extension JSONWriter {
    /// Writes the event of a record: its offset as id, its line of a page as data.
    mutating func recordEvent(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) {
        literal("id: ")
        number(offset.rawValue)
        literal("\ndata: ")
        unsafe recordLine(offset: offset, timestamp: timestamp, record: record)
        literal("\n")
    }

    /// Writes the event that says that records from `from` on, up to `first`, are no longer there.
    mutating func gapEvent(from: RecordOffset, first: RecordOffset) {
        literal("event: gap\ndata: {\"from\":")
        number(from.rawValue)
        literal(",\"first\":")
        number(first.rawValue)
        literal("}\n\n")
    }
}

/// Takes records and encodes them as events, up to an offset or until there are enough bytes.
final class EventSink: RecordSink {
    private let until: RecordOffset
    private let bytesMax: Int
    private(set) var next: RecordOffset
    private(set) var output = JSONWriter()

    init(from: RecordOffset, until: RecordOffset, bytesMax: Int) {
        next = from
        self.until = until
        self.bytesMax = bytesMax
    }

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        guard offset < until, output.bytes.count < bytesMax else { return false }
        // Between two records of a log there is never a gap that is not told otherwise.
        precondition(offset == next, "a record was skipped in a live tail")
        unsafe output.recordEvent(offset: offset, timestamp: timestamp, record: record)
        next = offset + 1
        return true
    }
}
