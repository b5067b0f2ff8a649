import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore

/// An answer that is known and waits for a batch, because it says what that batch makes true. It lies in the exchange's
/// attachment; plain appends wait without one.
final class PendingAnswer {
    enum Content {
        /// A refusal that depends on what is in flight.
        case problem(Problem)
        /// The log as it is then.
        case log(status: Int)
        /// The log is gone.
        case deleted
        /// A batch's appends.
        case batch([AppendTicket], BatchDocument, isRepeat: Bool)
    }

    let batch: BatchNumber
    let content: Content

    init(_ batch: BatchNumber, _ content: Content) {
        self.batch = batch
        self.content = content
    }
}

extension Service {
    /// What a request that waits for a batch can count on.
    enum Commitment {
        case durable
        case open
        /// The batch will never be known to be durable.
        case lost(Problem)
    }

    func commitment(of batch: BatchNumber) -> Commitment {
        if batch <= store.wal.durable.number { return .durable }
        guard store.wal.poisonCause != nil else { return .open }
        // What was not handed to the disk never will be.
        return .lost(batch < store.wal.fillingNumber ? .logPoisonedWhileWaiting : .logPoisoned)
    }

    /// Gives an answer as soon as the batch that it depends on is durable.
    func answer(_ exchange: Exchange, after batch: BatchNumber, _ content: PendingAnswer.Content) -> Step {
        let pending = PendingAnswer(batch, content)
        let step = settle(exchange, pending)
        if case .wait = step { exchange.attachment = pending }
        return step
    }

    /// Answers if the batch is durable, or never will be.
    func settle(_ exchange: Exchange, _ pending: PendingAnswer) -> Step {
        switch commitment(of: pending.batch) {
        case .open: .wait
        case .lost(let problem): answer(exchange, problem)
        case .durable: respond(exchange, pending.content)
        }
    }

    private func respond(_ exchange: Exchange, _ content: PendingAnswer.Content) -> Step {
        switch content {
        case .problem(let problem):
            return answer(exchange, problem)
        case .log(let status):
            return answerWithLog(exchange, status: status)
        case .deleted:
            var response = HTTPResponse(status: 204)
            response.addHeader("Cache-Control", "no-store")
            response.addHeader("X-Content-Type-Options", "nosniff")
            exchange.respond(response)
            return .answered
        case .batch(let tickets, let document, let isRepeat):
            return acknowledge(exchange, tickets, document, isRepeat: isRepeat)
        }
    }
}
