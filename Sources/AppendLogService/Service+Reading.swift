import HTTPFrontEnd
import LogFormat
import LogStore

/// A read of records that is under way for an exchange.
final class RecordReading {
    /// What the answer will be.
    enum Answer {
        case page(PageSink, PageForm, from: RecordOffset)
        case record(SingleRecordSink, offset: RecordOffset)
    }

    let read: RangeRead
    let answer: Answer
    /// Bytes of memory that it may need, about.
    let byteCount: Int

    init(_ read: RangeRead, _ answer: Answer, byteCount: Int) {
        self.read = read
        self.answer = answer
        self.byteCount = byteCount
    }

    var sink: RecordSink {
        switch answer {
        case .page(let sink, _, _): sink
        case .record(let sink, _): sink
        }
    }
}

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
        if exchange.combinedHeader("accept") == Array("text/event-stream".utf8) {
            guard let slot = unsafe store.slot(named: exchange.part(log)) else { return answer(exchange, .logNotFound) }
            return beginLiveTail(exchange, slot, from: query.from)
        }
        if let slot = unsafe store.slot(named: exchange.part(log)), query.waitSeconds > 0, !exchange.hasWaited,
            query.from >= store.followedState(slot).next
        {
            let until = clock.monotonicMicroseconds + Int64(query.waitSeconds) * 1_000_000
            return waitForRecords(exchange, slot, from: query.from, until: until)
        }
        guard let form = PageForm.accepted(by: exchange.combinedHeader("accept")) else {
            var response = Problem.notAcceptable.response()
            response.addHeader("Vary", "Accept")
            exchange.respond(response)
            return .answered
        }
        guard let slot = unsafe store.slot(named: exchange.part(log)) else { return answer(exchange, .logNotFound) }
        guard hasRoomForReads else { return answer(exchange, .overloadedByReads) }
        let reading = RecordReading(
            store.beginRead(slot, from: query.from), .page(.sink(for: form, query), form, from: query.from),
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
        guard offset < store.summary(slot).next else { return answer(exchange, .recordNotFound) }
        guard hasRoomForReads else { return answer(exchange, .overloadedByReads) }
        let reading = RecordReading(
            store.beginRead(slot, from: offset), .record(SingleRecordSink(), offset: offset),
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

    /// Reads on until the answer is complete or the disk has to be waited for.
    private func advance(_ exchange: Exchange, _ reading: RecordReading) -> Step {
        switch store.step(reading.read, into: reading.sink) {
        case .finished:
            respond(exchange, reading)
            return .answered
        case .waiting:
            waitingReads[ObjectIdentifier(reading.read)] = exchange
            waitingReadBytes += reading.byteCount
            exchange.attachment = reading
            return .suspend
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
        case .failed(let error):
            logger.error(
                "a record could not be read", metadata: ["error": "\(error)", "log": "\(name(of: reading))"])
            return answer(exchange, .recordUnreadable)
        }
    }

    private func respond(_ exchange: Exchange, _ reading: RecordReading) {
        switch reading.answer {
        case .page(let sink, let form, let from): respond(exchange, sink, form, from, reading)
        case .record(let sink, let offset): respond(exchange, sink, offset)
        }
    }

    private func respond(
        _ exchange: Exchange, _ sink: PageSink, _ form: PageForm, _ from: RecordOffset, _ reading: RecordReading
    ) {
        var response = HTTPResponse(status: 200, copying: sink.output.bytes)
        response.addCommonHeaders(contentType: form.mediaType)
        response.addHeader("Vary", "Accept")
        response.addHeader("First-Offset", from.rawValue)
        response.addHeader("Next-Offset", sink.next.rawValue)
        response.addHeader("Tail-Offset", store.summary(reading.read.log).next.rawValue)
        exchange.respond(response)
    }

    private func respond(_ exchange: Exchange, _ sink: SingleRecordSink, _ offset: RecordOffset) {
        guard let timestamp = sink.timestamp else { return exchange.respond(.recordNotFound) }
        var response = HTTPResponse(status: 200, copying: sink.bytes)
        response.addCommonHeaders(contentType: MediaType.bytes)
        response.addHeader("Content-Security-Policy", "sandbox")
        response.addHeader("Content-Disposition", "attachment")
        response.addHeader("Offset", offset.rawValue)
        json.removeAll()
        json.rawTime(timestamp)
        unsafe json.bytes.withUnsafeBytes { unsafe response.addHeader("Timestamp", $0) }
        exchange.respond(response)
    }

    private func name(of reading: RecordReading) -> String {
        String(decoding: store.summary(reading.read.log).name, as: UTF8.self)
    }
}
