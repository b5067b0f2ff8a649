import LogFormat
import LogStore

extension JSONWriter {
    /// Writes one log as `GET /v1/logs/{log}` shows it.
    mutating func log(_ log: LogSummary) {
        // A name has no character that JSON escapes.
        literal(#"{"log":""#)
        raw(log.name)
        literal(#"","id":"#)
        number(log.id.rawValue)
        literal(#","first":"#)
        number(log.first.rawValue)
        literal(#","next":"#)
        number(log.next.rawValue)
        literal(#","durable":"#)
        number(log.next.rawValue)
        literal(#","records":"#)
        number(log.records)
        literal(#","bytes":"#)
        number(log.bytes)
        literal(#","created":"#)
        time(log.created)
        literal(#","closed":"#)
        boolean(log.isClosed)
        settings(log.settings)
        literal("}")
    }

    /// Writes the members `logs` and `next_after` of a page of logs, without the braces around them.
    mutating func logPage(_ page: (logs: [LogSummary], nextAfter: [UInt8]?)) {
        literal(#""logs":["#)
        for (index, summary) in page.logs.enumerated() {
            if index > 0 { literal(",") }
            log(summary)
        }
        literal(#"],"next_after":"#)
        if let name = page.nextAfter {
            literal("\"")
            raw(name)
            literal("\"")
        } else {
            literal("null")
        }
    }

    /// Writes the answer to an append. `name` is a log's.
    mutating func appended(_ ticket: StagedAppend, log name: UnsafeRawBufferPointer) {
        literal(#"{"log":""#)
        unsafe raw(name)
        literal(#"","first":"#)
        number(ticket.first.rawValue)
        literal(#","next":"#)
        number((ticket.first + ticket.count).rawValue)
        literal(#","count":"#)
        number(ticket.count)
        literal(#","timestamp":"#)
        time(ticket.timestamp)
        literal("}")
    }
}
