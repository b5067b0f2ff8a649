import WriteAheadLog

/// Named counters, kept as the events that changed them.
///
/// - Each `add` is one record. What the counters are is not stored: it is what the records come to.
/// - Events only add, so those of many tasks never conflict, in whatever order they arrive.
/// - Every so many events a record with all counters (a snapshot) is appended and what lies before it is let go of, so that
///   disk space and the time to start stay bounded.
actor Counters {
    private static let eventsBetweenSnapshots = 1_000

    nonisolated let log: WriteAheadLog
    /// What all records that were appended come to. It is ahead of the disk: see `values`.
    private var accepted: [String: Int] = [:]
    private var eventsSinceSnapshot = 0

    /// Opens the log and rebuilds the counters from it.
    init(_ directory: String) throws {
        log = try WriteAheadLog.open(directory)
        let reader = try log.records(from: log.recovery.first)
        while let record = try reader.next() {
            switch Event(record.bytes) {
            case .added(let name, let amount):
                accepted[name, default: 0] += amount
                eventsSinceSnapshot += 1
            case .snapshot(let values):
                // What was there before is in it. After a crash older records may still be there.
                accepted = values
                eventsSinceSnapshot = 0
            case nil: throw CounterError.foreignRecord(record.position)
            }
        }
    }

    /// Adds to a counter, and returns when that is on the disk. Many tasks may be in here at once: their events share syncs.
    func add(_ amount: Int, to name: String) async throws {
        // Up to the first `await` nobody else is in here, so the records are in the order in which `accepted` changes.
        let token = try log.append(Event.added(name: name, amount: amount).bytes)
        accepted[name, default: 0] += amount
        eventsSinceSnapshot += 1
        if eventsSinceSnapshot == Self.eventsBetweenSnapshots { try takeSnapshot() }
        _ = try await token.value
    }

    /// The counters, as the disk has them: what is seen here no crash takes back.
    var values: [String: Int] {
        get async throws {
            let seen = accepted
            try await log.flush()
            return seen
        }
    }

    /// Appends the state, and cuts the log in front of that record.
    ///
    /// A token knows its position at once. What is staged later is never durable earlier, so the front is not cut before the
    /// snapshot is on the disk, and neither has to be waited for.
    private func takeSnapshot() throws {
        let token = try log.append(Event.snapshot(accepted).bytes)
        try log.truncateFront(before: token.position)
        eventsSinceSnapshot = 0
    }
}

/// What a record says, as a line of text: `+5 visits`, or `= visits 12 orders 3`.
private enum Event {
    case added(name: String, amount: Int)
    case snapshot([String: Int])

    var bytes: [UInt8] {
        switch self {
        case .added(let name, let amount): Array("+\(amount) \(name)".utf8)
        case .snapshot(let values): Array("=\(values.map { " \($0) \($1)" }.joined())".utf8)
        }
    }

    init?(_ bytes: [UInt8]) {
        let words = String(decoding: bytes.dropFirst(), as: UTF8.self).split(separator: " ").map(String.init)
        switch bytes.first {
        case UInt8(ascii: "+"):
            guard words.count == 2, let amount = Int(words[0]) else { return nil }
            self = .added(name: words[1], amount: amount)
        case UInt8(ascii: "="):
            guard words.count.isMultiple(of: 2) else { return nil }
            var values: [String: Int] = [:]
            for index in stride(from: 0, to: words.count, by: 2) { values[words[index]] = Int(words[index + 1]) }
            self = .snapshot(values)
        default: return nil
        }
    }
}

enum CounterError: Error, CustomStringConvertible {
    case foreignRecord(RecordPosition)

    var description: String {
        switch self {
        case .foreignRecord(let position): "the record at \(position) was not written by an event counter"
        }
    }
}
