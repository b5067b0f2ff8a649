import Foundation
import WriteAheadLog

/// Threads that append to one log, each in its own manner, and say what they were promised. A line is one write.
final class Writers: @unchecked Sendable {
    // Sendable, as the lock guards what changes.
    private static let outstandingMax = 16
    /// Of every so many answers one is followed by a truncation, which keeps so many.
    private static let (truncationEvery, keptAnswers) = (120, 80)

    private let log: WriteAheadLog
    private let life: UInt64
    private let bytesWanted: Int
    private let truncates: Bool
    private let lock = NSLock()
    private var answers: [AppendResult] = []
    private var answerCount = 0
    private var bytesAnswered = 0
    private var isStopping = false
    private let ended = DispatchGroup()

    init(_ log: WriteAheadLog, life: UInt64, bytesWanted: Int, truncates: Bool) {
        self.log = log
        self.life = life
        self.bytesWanted = bytesWanted
        self.truncates = truncates
    }

    func start() {
        let manners = [waitForEach, waitForTokens, keepOutstanding, waitForGroups]
        for (index, manner) in manners.enumerated() {
            let writer = life * UInt64(manners.count) + UInt64(index)
            begin { try manner(writer) }
        }
        begin(read)
    }

    /// Ends every thread behind its last answer.
    func stop() {
        lock.withLock { isStopping = true }
        ended.wait()
    }

    private func begin(_ body: @escaping () throws -> Void) {
        nonisolated(unsafe) let body = body
        ended.enter()
        Thread.detachNewThread {
            do { try body() } catch { fail(error) }
            self.ended.leave()
        }
    }

    private var goesOn: Bool { lock.withLock { !isStopping } }

    // MARK: Manners

    private func waitForEach(_ writer: UInt64) throws {
        var number: UInt64 = 0
        while goesOn {
            let records = Content(writer: writer, number: number).records
            let result =
                records.count == 1 ? try log.appendAndWait(records[0]) : try log.appendAndWait(contentsOf: records)
            try acknowledge(writer, number, result, records)
            number += 1
        }
    }

    private func waitForTokens(_ writer: UInt64) throws {
        var number: UInt64 = 0
        while goesOn {
            let records = Content(writer: writer, number: number).records
            try acknowledge(writer, number, try append(records).wait(), records)
            number += 1
        }
    }

    private func keepOutstanding(_ writer: UInt64) throws {
        var number: UInt64 = 0
        var waiting: [(number: UInt64, token: CompletionToken, records: [[UInt8]])] = []
        while goesOn || !waiting.isEmpty {
            if goesOn && waiting.count < Self.outstandingMax {
                let records = Content(writer: writer, number: number).records
                waiting.append((number, try append(records), records))
                number += 1
            } else {
                let oldest = waiting.removeFirst()
                try acknowledge(writer, oldest.number, try oldest.token.wait(), oldest.records)
            }
        }
    }

    private func waitForGroups(_ writer: UInt64) throws {
        var number: UInt64 = 0
        while goesOn {
            let group = CompletionGroup()
            let contents = (number..<number + 8).map { Content(writer: writer, number: $0).records }
            for records in contents { group.track(try append(records)) }
            for (records, result) in zip(contents, try group.waitAll()) {
                try acknowledge(writer, number, result, records)
                number += 1
            }
        }
    }

    private func append(_ records: [[UInt8]]) throws -> CompletionToken {
        records.count == 1 ? try log.append(records[0]) : try log.append(contentsOf: records)
    }

    /// What a reader was shown must survive as well.
    private func read() throws {
        var reader = try log.records(from: log.statistics.first)
        var told = reader.position
        while goesOn {
            do {
                while try reader.next({ _, _, _ in }) != nil {}
            } catch .truncated(let first) {
                reader = try log.records(from: first)
                continue
            }
            if reader.position > told {
                told = reader.position
                say("shown \(told)")
            }
            usleep(2_000)
        }
    }

    // MARK: Promises

    private func acknowledge(_ writer: UInt64, _ number: UInt64, _ result: AppendResult, _ records: [[UInt8]]) throws {
        say("acknowledged \(writer) \(number) \(result.position)")
        let (isEnough, place) = lock.withLock { () -> (Bool, RecordPosition?) in
            let before = bytesAnswered
            bytesAnswered += result.byteCount
            answers.append(result)
            answerCount += 1
            if answers.count > Self.keptAnswers { answers.removeFirst() }
            let isTurn = truncates && answerCount % Self.truncationEvery == 0
            return (before < bytesWanted && bytesAnswered >= bytesWanted, isTurn ? answers[0].position : nil)
        }
        if isEnough { say("enough") }
        guard let place else { return }
        // Now and then within the group that was answered last, which is far from the others' ends.
        let isWithin = number % 3 == 0 && result.recordCount > 1
        let first =
            isWithin ? RecordPosition(rawValue: result.position.rawValue + 4 + UInt64(records[0].count)) : place
        say("truncating \(first)")
        try log.truncateFront(before: first).wait()
        say("truncated \(first)")
    }
}

/// One line, in one write.
func say(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    guard write(1, bytes, bytes.count) == bytes.count else { exit(3) }
}

func fail(_ error: any Error) -> Never {
    say("failed \(error)")
    exit(1)
}
