import LogFormat

@testable import CommitLog
@testable import LogStore

// Appends: each is judged by the oracle first, and the store must say the same.
extension Simulation {
    /// Sends something; returns whether it was staged.
    func request() throws -> Bool {
        switch workload.kind(&seed) {
        case .append: return try send(newRequest())
        case .producer:
            var request = newRequest(to: workload.hasBusyProducer ? 0 : nil)
            request.identity = producerIdentity(request.parts[0].name)
            return try send(request)
        case .key:
            var request = newRequest()
            request.identity = .key(requestCount, variant: UInt64(requestCount))
            return try send(request)
        case .condition:
            var request = newRequest()
            request.parts[0].condition = condition(request.parts[0].name)
            return try send(request)
        case .group: return try send(newGroup())
        case .again: return sent.isEmpty ? false : try sendAgain(seed.pick(sent))
        case .change(let kind): return try change(kind, seed.below(history.nameCount))
        }
    }

    /// The requests that a client would send again after a restart: the last ones, in their order, and some old ones.
    func sendAllAgain() throws {
        guard !sent.isEmpty else { return }
        for request in sent.suffix(seed.below(24)) where try send(request) { tally[.takenAgain] += 1 }
        for _ in 0..<seed.below(8) { _ = try sendAgain(seed.pick(sent)) }
    }

    /// Sometimes with another body, which only a key can tell.
    private func sendAgain(_ request: Request) throws -> Bool {
        var request = request
        if case .key(let key, let variant) = request.identity, seed.once(in: 4) {
            request.identity = .key(key, variant: variant + 1)
        }
        return try send(request)
    }

    private func newRequest(to name: Int? = nil) -> Request {
        defer { requestCount += 1 }
        let name = name ?? seed.below(history.nameCount)
        let records = workload.request(&seed, number: requestCount)
        let contentType = workload.isRich && seed.once(in: 8) ? Array("text/plain".utf8) : nil
        return Request(parts: [.init(name: name, records: records)], contentType: contentType)
    }

    private func newGroup() -> Request {
        var request = newRequest()
        request.isGroup = true
        request.contentType = nil
        for _ in 0..<seed.below(4) { request.parts += newRequest().parts }
        if seed.once(in: 2) { request.identity = .key(requestCount, variant: UInt64(requestCount)) }
        if seed.once(in: 3) {
            let index = seed.below(request.parts.count)
            request.parts[index].condition = condition(request.parts[index].name)
        }
        return request
    }

    /// Mostly the next request of the producer; else what a client does that has crashed, or was replaced.
    private func producerIdentity(_ name: Int) -> Request.Identity {
        let id = workload.hasBusyProducer ? 0 : seed.below(2)
        guard let last = history.sequenced.sent(by: id, to: name).last else {
            return .producer(id, epoch: UInt64(seed.below(3)), sequence: seed.once(in: 8) ? 3 : 0)
        }
        let (epoch, sequence) = (last.epoch, last.sequence)
        // What it does that was told to begin anew, having been idle for too long.
        if history.mayBeForgotten(last), seed.once(in: 2) { return .producer(id, epoch: epoch, sequence: 0) }
        switch seed.below(24) {
        case 0: return .producer(id, epoch: epoch, sequence: sequence)
        case 1: return .producer(id, epoch: epoch, sequence: UInt64(seed.below(Int(sequence) + 1)))
        case 2: return .producer(id, epoch: epoch, sequence: sequence + 2 + UInt64(seed.below(3)))
        case 3: return .producer(id, epoch: epoch + 1, sequence: seed.once(in: 3) ? sequence + 1 : 0)
        case 4 where epoch > 0: return .producer(id, epoch: epoch - 1, sequence: sequence + 1)
        default: return .producer(id, epoch: epoch, sequence: sequence + 1)
        }
    }

    /// Right or wrong.
    private func condition(_ name: Int) -> AppendCondition {
        let log = history.sequenced.logs[name]
        let next = UInt64(log?.records.count ?? 0)
        let deleted = history.sequenced.deleted[name]
        switch seed.below(6) {
        case 0: return .absent
        case 1: return .next(RecordOffset(rawValue: next + 1), log: nil)
        case 2: return .next(RecordOffset(rawValue: next), log: deleted == .none ? nil : deleted)
        case 3: return .next(RecordOffset(rawValue: next), log: log?.id)
        // What a client knows that looked a moment ago.
        case 4: return .next(RecordOffset(rawValue: UInt64(history.durable.logs[name]?.records.count ?? 0)), log: nil)
        default: return .next(RecordOffset(rawValue: next), log: nil)
        }
    }

    // MARK: Sending

    /// Returns whether it was staged.
    func send(_ request: Request) throws -> Bool {
        history.look(at: max(clock.now, store!.lastTimestamp))
        let time = JudgedAt(latest: history.latestLook, durable: lastDurable)
        let judgements = history.sequenced.judge(request, autoCreate: workload.autoCreate, at: time)
        let outcome = try deliver(request)
        let judgement = judgements.first { $0.allows(outcome, durable: lastDurable) } ?? judgements[0]
        if judgements.count > 1 { note(judgement, of: judgements) }
        switch (judgement, outcome) {
        case (.taken, .staged(let tickets)):
            try staged(request, tickets)
            return true
        case (.taken, .noRoom): return false
        case (.taken, .tooLarge) where isNearlyTooLarge(request): tally[.groupsTooLarge] += 1
        case (.repeated(let answers), .repeated(let tickets)),
            (.repeatedOrForgotten(let answers, _), .repeated(let tickets)):
            try compareRepeat(answers, tickets)
            if request.isGroup { tally[.groupRepeats] += 1 }
        case (.refused(let cause, let after, let index), .refused(let refusal, let given))
        where cause.isSame(as: refusal.cause) && index == given:
            try compareAfter(after, refusal.after, "\(cause)")
            note(cause)
            if request.isGroup { tally[.groupRefusals] += 1 }
        case (.repeatedOrForgotten(_, let after), .refused(let refusal, _)) where refusal.cause == .duplicateForgotten:
            try compareAfter(after, refusal.after, "forgotten")
            note(refusal.cause)
        default:
            throw Failure(
                description: "\(request.isGroup ? "group" : "append") to log \(request.parts[0].name) "
                    + "(\(request.identity)): \(outcome), and should be \(judgement)")
        }
        return false
    }

    private func isNearlyTooLarge(_ request: Request) -> Bool {
        let bytes = request.parts.reduce(0) { sum, part in sum + 512 + part.records.reduce(0) { $0 + $1.count + 8 } }
        return bytes > store!.wal.frameBytesMax
    }

    private func compareRepeat(_ answers: [AppendTicket], _ tickets: [AppendTicket]) throws {
        let expected = answers.map { answer in
            // A batch of an earlier process needs no waiting for.
            AppendTicket(
                batch: answer.batch > history.processBegan ? answer.batch : .zero, first: answer.first,
                count: answer.count, timestamp: answer.timestamp)
        }
        guard expected == tickets else {
            throw Failure(description: "a repeat is answered with \(tickets), and the first was with \(expected)")
        }
        tally[.repeats] += 1
        if answers[0].batch <= history.processBegan { tally[.repeatsAfterRestart] += 1 }
        if answers[0].batch == history.survivor { tally[.repeatsOfSurvivors] += 1 }
        if answers[0].batch > lastDurable { tally[.repeatsInFlight] += 1 }
    }

    /// What depends on a batch that is not durable is told only when that is.
    func compareAfter(_ expected: BatchNumber, _ given: BatchNumber, _ what: String) throws {
        guard expected > lastDurable ? given == expected : given <= lastDurable else {
            throw Failure(description: "\(what) is told after batch \(given), and depends on \(expected)")
        }
    }

    private func note(_ cause: AppendRefusal.Cause) {
        switch cause {
        case .logNotFound: tally[.notFound] += 1
        case .conditionFailed: tally[.conditionsFailed] += 1
        case .logClosed: tally[.closedRefusals] += 1
        case .fenced: tally[.fenced] += 1
        case .sequenceGap: tally[.gaps] += 1
        case .duplicateForgotten: tally[.forgotten] += 1
        case .keyReused: tally[.keysReused] += 1
        case .trimBeyondTail: tally[.trimsRefused] += 1
        case .keysFull: tally[.keysFull] += 1
        case .producersFull: tally[.producersFull] += 1
        }
    }

    /// One of several answers was right.
    private func note(_ judgement: Judgement, of judgements: [Judgement]) {
        guard judgements.count > 1, case .taken = judgement else { return }
        switch judgements[0] {
        case .repeated, .refused(.keyReused, _, _): tally[.keysUsedAgain] += 1
        case .repeatedOrForgotten, .refused(.duplicateForgotten, _, _), .refused(.fenced, _, _):
            tally[.producersAnew] += 1
        case .taken, .refused: break
        }
    }

    /// Has the oracle take what the store has taken.
    private func staged(_ request: Request, _ tickets: [AppendTicket]) throws {
        let batch = tickets[0].batch
        let timestamp = tickets[0].timestamp
        guard tickets.allSatisfy({ $0.batch == batch && $0.timestamp == timestamp }),
            timestamp > history.sequenced.lastTimestamp, tickets.count == request.parts.count
        else { throw Failure(description: "a request is staged with \(tickets)") }
        for (part, ticket) in zip(request.parts, tickets) {
            let next = history.sequenced.next(part.name)
            guard ticket.first.rawValue == UInt64(next), ticket.count == part.records.count else {
                throw Failure(description: "log \(part.name): a request got \(ticket.first), and \(next) is next")
            }
            if history.sequenced.logs[part.name] == nil {
                try created(part.name, LogSettings(contentType: request.contentType), timestamp, batch)
            }
            let records = part.records.map { SentRecord(bytes: $0, timestamp: timestamp) }
            let identity = request.isGroup ? .none : request.identity
            try history.staged([.append(part.name, records, identity, ticket)], in: batch)
            if part.condition != .none { tally[.conditionsHeld] += 1 }
        }
        if request.isGroup { tally[.groups] += 1 }
        if request.isGroup, case .key(let key, let variant) = request.identity {
            let known = KeyModel(log: .none, key: key, variant: variant, answers: tickets)
            try history.staged([.groupKey(known)], in: batch)
        }
        if case .producer(_, let epoch, 0) = request.identity, epoch > 0 { tally[.epochs] += 1 }
        if request.hasIdentity { remember(request) }
    }

    /// A log was made, in the batch and at the time of what made it.
    func created(_ name: Int, _ settings: LogSettings, _ timestamp: Timestamp, _ batch: BatchNumber) throws {
        guard let slot = Request.name(name).withUnsafeBytes({ store!.table.slot(named: $0) }) else {
            throw Failure(description: "log \(name) was made and is not there")
        }
        let id = store!.table[slot].id
        // A disk that lost the last batch may have lost ids unseen.
        guard id > history.sequenced.highestID || isDamaged else {
            throw Failure(description: "log \(name) got the id \(id), \(history.sequenced.highestID) was given out")
        }
        if history.sequenced.deleted[name] != .none {
            tally[.incarnations] += 1
            if history.sequenced.lastBatches[name] > lastDurable { tally[.namesUsedAtOnce] += 1 }
        }
        let log = LogModel(id: id, created: timestamp, settings: settings, lastBatch: batch)
        try history.staged([.create(name, log)], in: batch)
    }

    private func remember(_ request: Request) {
        if sent.count == 100 { sent.remove(at: seed.below(50)) }
        sent.append(request)
    }

    // MARK: Delivery

    private func deliver(_ request: Request) throws -> Outcome {
        let buffers = request.parts.map { encode($0.records) }
        defer { for buffer in buffers { buffer.bytes.deallocate() } }
        let bodies = try buffers.map {
            try RecordBody(
                UnsafeRawBufferPointer($0.bytes), encoding: $0.encoding, recordBytesMax: 1 << 20, recordCountMax: 1000)
        }
        return withIdentity(request.identity) { identity in
            if request.isGroup {
                let group = zip(request.parts, bodies).map {
                    GroupAppend(name: Request.name($0.name), body: $1, condition: $0.condition)
                }
                return Outcome(store!.append(group: group, identity: identity))
            }
            var options = AppendOptions()
            options.condition = request.parts[0].condition
            options.identity = identity
            options.contentType = request.contentType
            let isPlain = !request.hasIdentity && options.condition == .none && request.contentType == nil
            return Request.name(request.parts[0].name).withUnsafeBytes { name in
                Outcome(isPlain ? store!.append(to: name, bodies[0]) : store!.append(to: name, bodies[0], options))
            }
        }
    }

    private func withIdentity(_ identity: Request.Identity, _ body: (RequestIdentity) -> Outcome) -> Outcome {
        switch identity {
        case .none: body(.none)
        case .producer(let id, let epoch, let sequence):
            Request.producer(id).withUnsafeBytes { body(.producer(id: $0, epoch: epoch, sequence: sequence)) }
        case .key(let key, let variant):
            Request.key(key).withUnsafeBytes { body(.key($0, fingerprint: Request.fingerprint(variant))) }
        }
    }

    private func encode(_ records: [[UInt8]]) -> (encoding: RecordBody.Encoding, bytes: UnsafeMutableRawBufferPointer) {
        var body: [UInt8] = []
        var encoding = RecordBody.Encoding.whole
        if records.count == 1 && seed.once(in: 2) {
            body = records[0]
        } else {
            let isLines = seed.once(in: 2)
            encoding = isLines ? .lines : .framed
            for record in records {
                if !isLines { withUnsafeBytes(of: UInt32(record.count).littleEndian) { body += Array($0) } }
                body += record
                if isLines { body.append(0x0A) }
            }
        }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: body.count, alignment: 8)
        bytes.copyBytes(from: body)
        return (encoding, bytes)
    }
}

extension Judgement {
    /// Whether this is what has become of a request, at a first look.
    fileprivate func allows(_ outcome: Outcome, durable: BatchNumber) -> Bool {
        switch (self, outcome) {
        case (.taken, .staged), (.taken, .noRoom), (.taken, .tooLarge): true
        case (.repeated, .repeated), (.repeatedOrForgotten, .repeated): true
        case (.repeatedOrForgotten, .refused(let refusal, _)): refusal.cause == .duplicateForgotten
        case (.refused(let cause, let after, _), .refused(let refusal, _)):
            cause.isSame(as: refusal.cause) && max(after, durable) == max(refusal.after, durable)
        default: false
        }
    }
}

extension AppendRefusal.Cause {
    /// When there is room again is not judged.
    fileprivate func isSame(as other: Self) -> Bool {
        if case .keysFull = self, case .keysFull = other { return true }
        return self == other
    }
}
