import Foundation
import WriteAheadLog

/// A job. Its position in the log is its number: it only grows, and is never given again.
struct Job {
    let position: RecordPosition
    let command: String
    /// Completed when the job is on the disk; nil for one that was found there.
    let accepted: CompletionToken?

    init(_ position: RecordPosition, _ command: String, _ accepted: CompletionToken? = nil) {
        self.position = position
        self.command = command
        self.accepted = accepted
    }

    var number: UInt64 { position.rawValue }
}

/// Two kinds of records are all that the queue writes.
private enum Entry {
    /// A command was accepted. Its number is the record's own position.
    case job(command: String)
    /// The job with this number was run.
    case done(number: UInt64, status: Int32)

    /// The first byte tells the kind. A program that is to live longer would put a version here too.
    var bytes: [UInt8] {
        switch self {
        case .job(let command): Array("J\(command)".utf8)
        case .done(let number, let status): Array("D\(number) \(status)".utf8)
        }
    }

    init?(_ bytes: [UInt8]) {
        let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
        switch bytes.first {
        case UInt8(ascii: "J"): self = .job(command: text)
        case UInt8(ascii: "D"):
            let numbers = text.split(separator: " ")
            guard numbers.count == 2, let number = UInt64(numbers[0]), let status = Int32(numbers[1])
            else { return nil }
            self = .done(number: number, status: status)
        default: return nil
        }
    }
}

/// A queue of shell commands that a crash takes nothing from.
///
/// - `accept` returns when its jobs are on the disk: from then on they will be run.
/// - A job that is noted as done is never run again. The one that was under way when the process died is run again, as
///   nobody can know how far it came: jobs are run *at least once*, and should bear to be repeated.
final class JobQueue: @unchecked Sendable {
    // Sendable, as the condition guards `waiting` and `isClosed`, and one thread alone works.
    private let log: WriteAheadLog
    private let condition = NSCondition()
    /// Accepted and not done, in the order of their numbers: appended to the log and put here under one lock.
    private var waiting: [Job] = []
    /// Nothing is accepted any more.
    private var isClosed = false

    /// Opens the queue in a directory, and finds out which jobs are still to be run: those without a `done`.
    init(_ directory: String) throws {
        log = try WriteAheadLog.open(directory)
        let reader = try log.records(from: log.recovery.first)
        var done: Set<UInt64> = []
        while let record = try reader.next() {
            switch Entry(record.bytes) {
            case .job(let command): waiting.append(Job(record.position, command))
            case .done(let number, _): done.insert(number)
            case nil: throw QueueError.foreignRecord(record.position)
            }
        }
        waiting.removeAll { done.contains($0.number) }
    }

    /// The jobs that are accepted and not done.
    var jobs: [Job] { condition.withLock { waiting } }

    /// Accepts a batch: after a crash all of it is there, or nothing. Returns when it is on the disk.
    func acceptTogether(_ commands: [String]) throws -> [Job] {
        let records = commands.map { Entry.job(command: $0).bytes }
        let (token, jobs) = try condition.withLock {
            let token = try log.append(contentsOf: records)
            // They follow one another: each record takes 4 bytes for its length, and then its own.
            var position = token.position.rawValue
            let jobs = zip(records, commands).map { record, command in
                defer { position += 4 + UInt64(record.count) }
                return Job(RecordPosition(rawValue: position), command, token)
            }
            hand(over: jobs)
            return (token, jobs)
        }
        try token.wait()
        return jobs
    }

    /// Accepts jobs that have nothing to do with each other. All are on their way to the disk before the first one is waited
    /// for: they share its syncs.
    func accept(_ commands: [String]) throws -> [Job] {
        let group = CompletionGroup()
        let jobs = try condition.withLock {
            try commands.map { command in
                let token = try log.append(Entry.job(command: command).bytes)
                group.track(token)
                let job = Job(token.position, command, token)
                hand(over: [job])
                return job
            }
        }
        try group.waitAll()
        return jobs
    }

    /// Runs jobs in their order until none is left; if `staying`, until the queue is closed and none is left.
    func work(staying: Bool, report: (Job, Int32) -> Void) throws {
        var count = 0
        while let job = next(staying: staying) {
            // A job that is not on the disk was not accepted yet.
            try job.accepted?.wait()
            let status = system(job.command)
            // When this is on the disk the job is not run again, and not before that; only then is it reported.
            try log.appendAndWait(Entry.done(number: job.number, status: status).bytes)
            condition.withLock { _ = waiting.removeFirst() }
            report(job, status)
            count += 1
            // What lies before this job is done. A job's `done` lies behind it: none that is still needed goes.
            if count % 100 == 0 { try log.truncateFront(before: job.position) }
        }
    }

    /// Has `work` return when it has nothing left to do.
    func close() {
        condition.withLock {
            isClosed = true
            condition.broadcast()
        }
    }

    /// Makes everything durable and gives the directory back.
    func shutDown() throws { try log.shutdown() }

    private func hand(over jobs: [Job]) {
        waiting.append(contentsOf: jobs)
        condition.broadcast()
    }

    private func next(staying: Bool) -> Job? {
        condition.withLock {
            while staying && waiting.isEmpty && !isClosed { condition.wait() }
            return waiting.first
        }
    }
}

enum QueueError: Error, CustomStringConvertible {
    case foreignRecord(RecordPosition)

    var description: String {
        switch self {
        case .foreignRecord(let position): "the record at \(position) was not written by a job queue"
        }
    }
}
