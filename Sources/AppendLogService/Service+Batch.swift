import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore

// Appends to several logs, all or nothing: one group of frames in one batch of the write-ahead log.
extension Service {
    /// `POST /v1/batch`
    func appendBatch(_ exchange: Exchange) -> Step {
        if let problem = appendRefusal { return answer(exchange, problem) }
        if hasBusyAppends { return .wait }
        // What costs least is looked at first: parsing the body costs most.
        let headers: AppendHeaders
        do throws(InvalidAppendHeaders) { headers = try AppendHeaders(ofBatch: exchange) } catch {
            return answer(exchange, .invalidAppendHeaders(error))
        }
        do throws(InvalidBody) {
            let document = try batchDocument(of: exchange)
            if let problem = rateRefusal(exchange, document) { return answer(exchange, problem) }
            return stage(exchange, document, headers)
        } catch {
            return answer(exchange, .invalidBody(error))
        }
    }

    /// The body, parsed once however often the batch finds no room.
    private func batchDocument(of exchange: Exchange) throws(InvalidBody) -> BatchDocument {
        if let parsed = exchange.attachment as? BatchDocument { return parsed }
        let document = unsafe try jsonParser.parse(exchange.body) { value throws(InvalidBody) in
            try BatchDocument(value)
        }
        exchange.attachment = document
        return document
    }

    /// Takes the appends from what their logs' rate limits allow, once; a problem if nothing is left.
    private func rateRefusal(_ exchange: Exchange, _ document: BatchDocument) -> Problem? {
        guard exchange.tag1 == 0 else { return nil }
        exchange.tag1 = 1
        let now = clock.monotonicMicroseconds
        for (index, append) in document.appends.enumerated() {
            guard let limit = unsafe append.name.withUnsafeBytes({ unsafe store.rateLimit(of: $0) }) else { continue }
            if !rates.take(1, of: limit.log, perSecond: limit.perSecond, nowMicroseconds: now) {
                return .rateLimited.ofAppend(index)
            }
        }
        return nil
    }

    private func stage(_ exchange: Exchange, _ document: BatchDocument, _ headers: AppendHeaders) -> Step {
        var identity = RequestIdentity.none
        if case .key(let key) = headers.identity {
            identity = unsafe .key(key, fingerprint: fingerprint(exchange))
        }
        return unsafe document.framed.withUnsafeBytes { framed in
            var group: [GroupAppend] = []
            group.reserveCapacity(document.appends.count)
            var recordCount = 0
            for (index, append) in document.appends.enumerated() {
                do throws(RecordBody.Refusal) {
                    let body = unsafe try RecordBody(
                        UnsafeRawBufferPointer(rebasing: framed[append.records]), encoding: .framed,
                        recordBytesMax: limits.recordBytesMax, recordCountMax: limits.recordCountMax - recordCount)
                    recordCount += body.recordCount
                    group.append(GroupAppend(name: append.name, body: body, condition: append.condition))
                } catch {
                    return answer(exchange, problem(of: error).ofAppend(index))
                }
            }
            return staged(exchange, document, store.append(group: group, identity: identity))
        }
    }

    /// Goes on with what the store said to a batch.
    private func staged(_ exchange: Exchange, _ document: BatchDocument, _ outcome: StoreGroupAppend) -> Step {
        switch outcome {
        case .staged(let tickets):
            exchange.releaseBody()
            return answer(exchange, after: lastBatch(tickets), .batch(tickets, document, isRepeat: false))
        case .repeated(let tickets):
            return answer(exchange, after: lastBatch(tickets), .batch(tickets, document, isRepeat: true))
        case .refused(let refusal, let index):
            return answer(
                exchange, after: refusal.after, .problem(problem(of: refusal.cause).ofAppend(index)))
        case .tooLarge:
            return answer(exchange, .batchTooLarge(bytesMax: store.configuration.wal.batchBytesMax))
        case .busy:
            hasBusyAppends = true
            return .wait
        case .pendingLimit: return answer(exchange, .overloadedByPending)
        case .noSegment(let error):
            noteFullDisk(error)
            return answer(exchange, .diskFull)
        case .poisoned: return answer(exchange, .logPoisoned)
        }
    }

    /// All lie in one batch.
    private func lastBatch(_ tickets: [AppendTicket]) -> BatchNumber {
        tickets.last?.batch ?? .zero
    }

    /// Answers a batch that is durable.
    func acknowledge(
        _ exchange: Exchange, _ tickets: [AppendTicket], _ document: BatchDocument, isRepeat: Bool
    ) -> Step {
        json.removeAll()
        json.literal(#"{"appends":["#)
        for (index, ticket) in tickets.enumerated() {
            if index > 0 { json.literal(",") }
            unsafe document.appends[index].name.withUnsafeBytes { name in
                unsafe json.appended(StagedAppend(ticket), log: name)
            }
        }
        json.literal("]}\n")
        var response = HTTPResponse(status: 201, copying: json.bytes)
        response.addCommonHeaders(contentType: MediaType.json)
        if isRepeat { response.addHeader("Idempotent-Replayed", "true") }
        exchange.respond(response)
        return .answered
    }
}
