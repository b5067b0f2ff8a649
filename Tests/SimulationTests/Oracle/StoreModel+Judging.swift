import CommitLog
import LogFormat

@testable import LogStore

/// What a store that has taken everything so far must say to a request.
enum Judgement {
    case taken
    case repeated([AppendTicket])
    /// The answers to so old a request may be kept or not.
    case repeatedOrForgotten([AppendTicket], after: BatchNumber)
    case refused(AppendRefusal.Cause, after: BatchNumber, index: Int?)
}

/// By when a request is judged.
struct JudgedAt {
    /// The latest time of all looks at the clock.
    let latest: Timestamp
    let durable: BatchNumber
}

extension StoreModel {
    /// All that a store may say: more than one thing where it may have forgotten who sends it, or may have no room for that.
    func judge(_ request: Request, autoCreate: Bool, at time: JudgedAt) -> [Judgement] {
        let name = request.parts[0].name
        // Where there is no log and none is made, nothing else matters.
        if !request.isGroup && logs[name] == nil && !autoCreate { return [judgeParts(request, autoCreate)] }
        switch request.identity {
        case .none: return [judgeParts(request, autoCreate)]
        case .producer(let id, let epoch, let sequence):
            return judgeProducer(request, (id, epoch, sequence), autoCreate, time)
        case .key(let number, let variant): return judgeKey(request, (number, variant), autoCreate, time)
        }
    }

    private func judgeKey(
        _ request: Request, _ key: (number: Int, variant: UInt64), _ autoCreate: Bool, _ time: JudgedAt
    ) -> [Judgement] {
        let log = request.isGroup ? LogID.none : logs[request.parts[0].name]?.id
        let index = request.isGroup ? nil : 0
        let room = identities.hasRoomForKey(by: time.latest, durable: time.durable, logs: logIDs)
        let asNew = judgements(
            room, judgeParts(request, autoCreate),
            .refused(.keysFull(retryAfterSeconds: 0), after: .zero, index: index))
        guard let known = log.flatMap({ identities.key(key.number, in: $0) }) else { return asNew }
        let asKnown =
            known.variant == key.variant
            ? Judgement.repeated(known.answers)
            : .refused(.keyReused, after: known.answers[0].batch, index: index)
        let mayBeForgotten = identities.mayBeForgotten(known, by: time.latest, durable: time.durable)
        return mayBeForgotten ? [asKnown] + asNew : [asKnown]
    }

    private func judgements(_ room: Bool?, _ taken: Judgement, _ full: Judgement) -> [Judgement] {
        switch room {
        case true: [taken]
        case false: [full]
        case nil: [taken, full]
        }
    }

    private func judgeProducer(
        _ request: Request, _ sent: (id: Int, epoch: UInt64, sequence: UInt64), _ autoCreate: Bool, _ time: JudgedAt
    ) -> [Judgement] {
        let name = request.parts[0].name
        let known = logs[name].flatMap { identities.producer(sent.id, in: $0.id) }
        let asKnown = known.map {
            judgeProducer($0.sent, sent.epoch, sent.sequence) ?? judgeParts(request, autoCreate)
        }
        if let known, let asKnown, !identities.mayBeForgotten(known, by: time.latest) { return [asKnown] }
        let gap = AppendRefusal.Cause.sequenceGap(expected: 0, received: sent.sequence)
        var asNew = [Judgement.refused(gap, after: lastBatches[name], index: 0)]
        if sent.sequence == 0 {
            asNew = judgements(
                identities.hasRoomForProducer(by: time.latest, logs: logIDs), judgeParts(request, autoCreate),
                .refused(.producersFull, after: .zero, index: 0))
        }
        return [asKnown].compactMap { $0 } + asNew
    }

    private var logIDs: Set<LogID> { Set(logs.compactMap { $0?.id }) }

    /// Nil if the request is a new one.
    private func judgeProducer(_ sent: [ProducerModel.Sent], _ epoch: UInt64, _ sequence: UInt64) -> Judgement? {
        guard let last = sent.last else { return nil }
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
