import LogFormat
import WriteAheadLog

@testable import LogStore

/// What a store that has taken everything so far must say to a request.
enum Judgement {
    case taken
    case repeated([AppendTicket])
    /// The answers to so old a request may be kept or not.
    case repeatedOrForgotten([AppendTicket], after: BatchNumber)
    case refused(AppendRefusal.Cause, after: BatchNumber, index: Int?)
}

extension StoreModel {
    func judge(_ request: Request, autoCreate: Bool) -> Judgement {
        let name = request.parts[0].name
        // Where there is no log and none is made, nothing else matters.
        if !request.isGroup && logs[name] == nil && !autoCreate { return judgeParts(request, autoCreate) }
        switch request.identity {
        case .none: break
        case .producer(let id, let epoch, let sequence):
            if let judgement = judgeProducer(name, id, epoch, sequence) { return judgement }
        case .key(let number, let variant):
            if let known = request.isGroup ? groupKeys[number] : logs[name]?.keys[number] {
                if known.variant == variant { return .repeated(known.answers) }
                return .refused(.keyReused, after: known.answers[0].batch, index: request.isGroup ? nil : 0)
            }
        }
        return judgeParts(request, autoCreate)
    }

    /// Nil if the request is a new one.
    private func judgeProducer(_ name: Int, _ id: Int, _ epoch: UInt64, _ sequence: UInt64) -> Judgement? {
        guard let sent = logs[name]?.producers[id]?.sent, let last = sent.last else {
            let cause = AppendRefusal.Cause.sequenceGap(expected: 0, received: sequence)
            return sequence == 0 ? nil : .refused(cause, after: lastBatches[name], index: 0)
        }
        let after = last.answer.batch
        if epoch < last.epoch { return .refused(.fenced(epoch: last.epoch), after: after, index: 0) }
        let expected = epoch > last.epoch ? 0 : last.sequence + 1
        if sequence == expected { return nil }
        if sequence > expected {
            return .refused(.sequenceGap(expected: expected, received: sequence), after: after, index: 0)
        }
        guard let place = sent.lastIndex(where: { $0.epoch == epoch && $0.sequence == sequence }) else {
            return .refused(.duplicateForgotten, after: after, index: 0)
        }
        let answers = [sent[place].answer]
        return sent.count - place <= answersKept
            ? .repeated(answers) : .repeatedOrForgotten(answers, after: after)
    }

    /// Each part is judged behind those before it.
    private func judgeParts(_ request: Request, _ autoCreate: Bool) -> Judgement {
        var added: [Int: Int] = [:]
        for (index, part) in request.parts.enumerated() {
            let after = lastBatches[part.name]
            let log = logs[part.name]
            guard log != nil || autoCreate else { return .refused(.logNotFound, after: after, index: index) }
            let count = log?.records.count ?? 0
            if log?.isClosed == true {
                return .refused(.logClosed(next: RecordOffset(rawValue: UInt64(count))), after: after, index: index)
            }
            let next = RecordOffset(rawValue: UInt64(count + added[part.name, default: 0]))
            if !holds(part.condition, next: next, log?.id) {
                return .refused(.conditionFailed(next: next, log: log?.id), after: after, index: index)
            }
            added[part.name, default: 0] += part.records.count
        }
        return .taken
    }

    private func holds(_ condition: AppendCondition, next: RecordOffset, _ log: LogID?) -> Bool {
        switch condition {
        case .none: true
        case .absent: next == .zero
        case .next(let wanted, let id): wanted == next && (id == nil || id == log)
        }
    }
}
