import Glibc
import LogFormat
import WriteAheadLog

@testable import LogStore

/// What a run has shown to be wrong.
struct Failure: Error, CustomStringConvertible {
    let description: String
}

/// One record that was sent.
struct SentRecord {
    let bytes: [UInt8]
    let timestamp: Timestamp
}

/// Everything that was sent and acknowledged: what a store must show.
struct History {
    /// A request that was staged and is not acknowledged.
    private struct Request {
        let log: Int
        let batch: BatchNumber
        let records: [SentRecord]
    }

    /// For each log the records that were acknowledged, or that a start has shown.
    private(set) var durable: [[SentRecord]]
    /// In the order in which they were staged; those of one process only.
    private var pending: [Request] = []
    private(set) var acknowledgedCount = 0
    /// The last batch that is durable with records, and how many of each log are in it.
    private var last: (batch: BatchNumber, counts: [Int]) = (.zero, [])

    init(logCount: Int) { durable = Array(repeating: [], count: logCount) }

    static func name(_ log: Int) -> [UInt8] { Array("log-\(log)".utf8) }

    var logCount: Int { durable.count }
    /// Over all logs.
    var durableCount: UInt64 { UInt64(durable.reduce(0) { $0 + $1.count }) }
    var pendingCount: Int { pending.count }

    mutating func staged(_ ticket: AppendTicket, log: Int, _ records: [[UInt8]]) throws {
        let expected = durable[log].count + pending.reduce(0) { $0 + ($1.log == log ? $1.records.count : 0) }
        guard ticket.first.rawValue == UInt64(expected), ticket.count == records.count else {
            throw Failure(description: "log \(log): a request got offset \(ticket.first), and \(expected) is next")
        }
        let sent = records.map { SentRecord(bytes: $0, timestamp: ticket.timestamp) }
        pending.append(Request(log: log, batch: ticket.batch, records: sent))
    }

    /// The requests in batches up to this one are acknowledged.
    mutating func acknowledge(through batch: BatchNumber) {
        let count = pending.prefix { $0.batch <= batch }.count
        for request in pending[..<count] {
            durable[request.log] += request.records
            if request.batch != last.batch { last = (request.batch, Array(repeating: 0, count: logCount)) }
            last.counts[request.log] += request.records.count
        }
        pending.removeFirst(count)
        acknowledgedCount += count
    }

    /// Takes what a start has shown: so many records of each log. It must have kept all that was acknowledged, and of the
    /// rest one batch wholly, or nothing. Returns true if it has lost the batch that it was allowed to lose.
    mutating func recovered(_ counts: [Int], mayLose batch: BatchNumber? = nil) throws -> Bool {
        if let batch, batch == last.batch, counts == zip(durable, last.counts).map({ $0.count - $1 }) {
            for (log, count) in last.counts.enumerated() { durable[log].removeLast(count) }
            last = (.zero, [])
            pending = []
            return true
        }
        let candidate = pending.first?.batch
        for log in durable.indices {
            let least = durable[log].count
            guard counts[log] >= least else {
                throw Failure(description: "log \(log): \(least) records were acknowledged, \(counts[log]) are there")
            }
        }
        let survived = durable.indices.contains { counts[$0] > durable[$0].count }
        if survived, let candidate { acknowledge(through: candidate) }
        pending = []
        for log in durable.indices where counts[log] != durable[log].count {
            throw Failure(
                description: "log \(log): \(counts[log]) records are there, \(durable[log].count) make whole batches")
        }
        return false
    }
}

/// Compares the records of a read with those that may be there.
final class ComparingSink: RecordSink {
    private let expected: [SentRecord]
    private(set) var count = 0
    private(set) var failure: String?

    init(_ expected: [SentRecord]) { self.expected = expected }

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        guard failure == nil else { return false }
        failure = difference(offset, timestamp, record)
        count += 1
        return failure == nil
    }

    private func difference(_ offset: RecordOffset, _ timestamp: Timestamp, _ record: UnsafeRawBufferPointer) -> String?
    {
        if offset.rawValue != UInt64(count) { return "offset \(offset) follows \(count) records" }
        guard count < expected.count else { return "the record at \(offset) was never sent" }
        let sent = expected[count]
        if sent.timestamp != timestamp { return "the record at \(offset) has another timestamp" }
        let isEqual =
            record.count == sent.bytes.count
            && (record.count == 0 || memcmp(record.baseAddress!, sent.bytes, record.count) == 0)
        return isEqual ? nil : "the record at \(offset) is not the one that was sent"
    }
}
