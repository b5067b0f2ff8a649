import HTTPFrontEnd
import LogFormat
import LogStore

extension Service {
    /// `GET /v1/logs/{log}/records`
    func readPage(_ exchange: Exchange, _ log: Range<Int>, _ queryRange: Range<Int>) -> Step {
        guard unsafe LogName.isValid(exchange.part(log)) else { return answer(exchange, .invalidLogName) }
        let query: RecordPageQuery
        do throws(QueryError) {
            query = try RecordPageQuery(unsafe Array(exchange.part(queryRange)))
        } catch {
            return answer(exchange, .invalidQuery(error))
        }
        let accept = exchange.combinedHeader("accept")
        let wantsEvents = PageForm.isOutweighedByEvents(accept)
        guard let form = wantsEvents ? .lines : PageForm.accepted(by: accept) else {
            var response = Problem.notAcceptable.response()
            response.addHeader("Vary", "Accept")
            exchange.respond(response)
            return .answered
        }
        guard let slot = unsafe store.slot(named: exchange.part(log)) else { return answer(exchange, .logNotFound) }
        let id = store.summary(slot).id
        if let wanted = query.logID, wanted != id { return answer(exchange, .logReplaced(id: id)) }
        let start = exchange.waitedFor(in: id).map { .offset($0) } ?? query.from.readStart
        let read = store.beginRead(slot, at: start)
        if wantsEvents, !start.isTime { return beginLiveTail(exchange, slot, from: read.next) }
        guard hasRoomForReads else { return answer(exchange, .overloadedByReads) }
        let reading = RecordReading(
            read, of: id,
            wantsEvents
                ? .liveTail(RefusingSink())
                : query.isStreamed ? .stream(RefusingSink(), form) : .page(.sink(for: form, query), form, query),
            byteCount: query.bytes + LogStoreLimits.readBytes)
        return advance(exchange, reading)
    }

    /// `GET /v1/logs/{log}/records/{offset}`
    func readRecord(_ exchange: Exchange, _ log: Range<Int>, _ offsetRange: Range<Int>) -> Step {
        guard unsafe LogName.isValid(exchange.part(log)) else { return answer(exchange, .invalidLogName) }
        guard let number = unsafe DecimalNumber.parse(exchange.part(offsetRange)) else {
            return answer(exchange, .invalidOffset)
        }
        guard let slot = unsafe store.slot(named: exchange.part(log)) else { return answer(exchange, .logNotFound) }
        let offset = RecordOffset(rawValue: number)
        let summary = store.summary(slot)
        guard offset < summary.next else { return answer(exchange, .recordNotFound) }
        guard hasRoomForReads else { return answer(exchange, .overloadedByReads) }
        let reading = RecordReading(
            store.beginRead(slot, from: offset), of: summary.id, .record(SingleRecordSink(), offset: offset),
            byteCount: ServiceLimits.recordReadBytes)
        return advance(exchange, reading)
    }

    /// Whether the memory of reads and of answers under way allows another one.
    private var hasRoomForReads: Bool {
        waitingReadBytes + (frontEnd?.answeringBytes ?? 0) < ServiceLimits.readingBytesMax
    }

    /// Forgets a read that has waited for the disk.
    func endWaiting(_ reading: RecordReading) {
        // Not there if the answer came before its client went.
        guard waitingReads.removeValue(forKey: ObjectIdentifier(reading.read)) != nil else { return }
        waitingReadBytes -= reading.byteCount
    }

    /// Takes a disk read that has ended to the request that waits for it.
    func readEnded(number: UInt64, result: Int32) {
        guard let read = store.readEnded(number: number, result: result), !live.readEnded(read) else { return }
        guard let exchange = waitingReads[ObjectIdentifier(read)], let reading = exchange.attachment as? RecordReading
        else { preconditionFailure("a disk read ended for a request that does not wait") }
        endWaiting(reading)
        // Suspended exchanges stay so until they are answered.
        _ = advance(exchange, reading)
    }

    /// Lets the read that has paused longest go on. Called once in each turn of the loop.
    func continueReading() {
        while !pausedReads.isEmpty {
            let reading = pausedReads.removeFirst()
            // Not there if its client has gone.
            guard let exchange = waitingReads[ObjectIdentifier(reading.read)] else { continue }
            endWaiting(reading)
            _ = advance(exchange, reading)
            return
        }
    }

    /// Reads on until the answer is complete, the disk has to be waited for, or others must have their turn.
    private func advance(_ exchange: Exchange, _ reading: RecordReading) -> Step {
        switch store.step(reading.read, into: reading.sink) {
        case .finished:
            return end(exchange, reading)
        case .waiting:
            return wait(exchange, reading)
        case .paused:
            pausedReads.append(reading)
            return wait(exchange, reading)
        case .damaged(let position):
            logger.error(
                "a record is damaged on the disk",
                metadata: ["position": "\(position.rawValue)", "log": "\(name(of: reading))"])
            return answer(exchange, .recordDamaged)
        case .lost(let next):
            var response = Problem.recordsLost(next: next).response()
            response.addHeader("Next-Offset", next.rawValue)
            exchange.respond(response)
            return .answered
        case .gone: return answer(exchange, .logNotFound)
        case .trimmed(let first): return answer(exchange, .offsetTrimmed(first: first))
        case .failed(let error):
            logger.error(
                "a record could not be read", metadata: ["error": "\(error)", "log": "\(name(of: reading))"])
            return answer(exchange, .recordUnreadable)
        }
    }

    private func wait(_ exchange: Exchange, _ reading: RecordReading) -> Step {
        waitingReads[ObjectIdentifier(reading.read)] = exchange
        waitingReadBytes += reading.byteCount
        exchange.attachment = reading
        return .suspend
    }

    /// Answers a read that has found all that there is.
    private func end(_ exchange: Exchange, _ reading: RecordReading) -> Step {
        exchange.attachment = nil
        switch reading.answer {
        case .page(let sink, _, let query) where sink.first == nil && query.waitSeconds > 0 && !exchange.hasWaited:
            exchange.noteWait(for: reading.read.next, in: reading.logID)
            let until = clock.monotonicMicroseconds + Int64(query.waitSeconds) * 1_000_000
            return waitForRecords(exchange, reading.read.log, from: reading.read.next, until: until)
        case .page(let sink, let form, let query): respond(exchange, reading, sink, form, query)
        case .record(let sink, let offset): respond(exchange, reading, sink, offset)
        case .stream(_, let form): return beginRecordStream(exchange, reading, form)
        case .liveTail: return beginLiveTail(exchange, reading.read.log, from: reading.read.next)
        }
        return .answered
    }

    private func name(of reading: RecordReading) -> String {
        String(decoding: store.summary(reading.read.log).name, as: UTF8.self)
    }
}

extension Exchange {
    /// Notes what the request waits for: handled anew it must begin there, since `now` is then behind it.
    fileprivate func noteWait(for offset: RecordOffset, in log: LogID) {
        tag1 = offset.rawValue
        tag2 = log.rawValue
    }

    /// The offset that the request has waited for; nil if it has not, or in another log.
    fileprivate func waitedFor(in log: LogID) -> RecordOffset? {
        hasWaited && tag2 == log.rawValue ? RecordOffset(rawValue: tag1) : nil
    }
}
