import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore
import Logging

/// A staged append that waits for its commit. It lives in the exchange's tags, so that waiting costs no memory.
struct StagedAppend: Equatable {
    /// The batch whose durability acknowledges it.
    let batch: BatchNumber
    let first: RecordOffset
    let count: Int
    let timestamp: Timestamp
    /// The request was sent before, and this is its first answer.
    var isRepeat = false

    init(_ ticket: AppendTicket, isRepeat: Bool = false) {
        batch = ticket.batch
        first = ticket.first
        count = ticket.count
        timestamp = ticket.timestamp
        self.isRepeat = isRepeat
    }

    init(batch: BatchNumber, first: RecordOffset, count: Int, timestamp: Timestamp) {
        self.batch = batch
        self.first = first
        self.count = count
        self.timestamp = timestamp
    }

    /// Nil if nothing of the exchange is staged: batches are numbered from 1.
    init?(of exchange: Exchange) {
        guard exchange.tag0 != 0 else { return nil }
        batch = BatchNumber(rawValue: exchange.tag0)
        first = RecordOffset(rawValue: exchange.tag1)
        timestamp = Timestamp(rawValue: exchange.tag2)
        count = Int(exchange.tag3 & ~Self.repeatBit)
        isRepeat = exchange.tag3 & Self.repeatBit != 0
    }

    /// No request has so many records.
    private static let repeatBit: UInt64 = 1 << 63

    func keep(in exchange: Exchange) {
        assert(batch != .zero && exchange.tag0 == 0)
        exchange.tag0 = batch.rawValue
        exchange.tag1 = first.rawValue
        exchange.tag2 = timestamp.rawValue
        exchange.tag3 = UInt64(count) | (isRepeat ? Self.repeatBit : 0)
    }
}

// The append: nothing here allocates, but for refusals.
extension Service {
    /// Why no append is taken now, whatever it says; nil if they are.
    var appendRefusal: Problem? {
        if store.wal.poisonCause != nil { return .logPoisoned }
        return isClosing ? .draining : nil
    }

    /// Stages the records of a request whose body has arrived. `log` is the part of the target that names the log.
    func append(_ exchange: Exchange, _ log: Range<Int>) -> Step {
        // The server may have begun to close while the body came in.
        if let problem = appendRefusal { return answer(exchange, problem) }
        // Somebody found no room in this turn: cutting the body into records would be in vain.
        if hasBusyAppends { return .wait }
        let headers: AppendHeaders?
        do throws(InvalidAppendHeaders) {
            headers = exchange.notedHeaders.isEmpty ? nil : try AppendHeaders(exchange)
        } catch {
            return answer(exchange, .invalidAppendHeaders(error))
        }
        let body: RecordBody
        do throws(RecordBody.Refusal) {
            body = unsafe try RecordBody(
                exchange.body, encoding: MediaType.encoding(ofContentType: exchange.header("Content-Type")),
                recordBytesMax: limits.recordBytesMax, recordCountMax: limits.recordCountMax)
        } catch {
            return answer(exchange, problem(of: error))
        }
        if let problem = rateRefusal(exchange, log) { return answer(exchange, problem) }
        return staged(exchange, stage(exchange, log, headers, body))
    }

    private func stage(
        _ exchange: Exchange, _ log: Range<Int>, _ headers: AppendHeaders?, _ body: RecordBody
    ) -> StoreAppend {
        guard let headers else { return unsafe store.append(to: exchange.part(log), body) }
        var options = AppendOptions()
        options.condition = headers.condition
        switch headers.identity {
        case .none: break
        case .producer(let id, let epoch, let sequence):
            options.identity = unsafe .producer(id: id, epoch: epoch, sequence: sequence)
        case .key(let key): options.identity = unsafe .key(key, fingerprint: fingerprint(exchange))
        }
        return unsafe store.append(to: exchange.part(log), body, options)
    }

    /// The digest of a request's body and its media type.
    func fingerprint(_ exchange: Exchange) -> BodyFingerprint {
        unsafe BodyFingerprint(exchange.body, contentType: exchange.header("Content-Type"))
    }

    /// Goes on with what the store said to an append.
    private func staged(_ exchange: Exchange, _ outcome: StoreAppend) -> Step {
        switch outcome {
        case .staged(let ticket):
            StagedAppend(ticket).keep(in: exchange)
            exchange.releaseBody()
            return .wait
        case .repeated(let ticket):
            let staged = StagedAppend(ticket, isRepeat: true)
            let step = settle(exchange, staged)
            if case .wait = step {
                staged.keep(in: exchange)
                exchange.releaseBody()
            }
            return step
        case .refused(let refusal): return answer(exchange, after: refusal.after, .problem(problem(of: refusal.cause)))
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

    /// Takes the append from what the log's rate limit allows, once; a problem if nothing is left.
    private func rateRefusal(_ exchange: Exchange, _ log: Range<Int>) -> Problem? {
        // An append that found no room has been counted.
        guard exchange.tag1 == 0, let limit = unsafe store.rateLimit(of: exchange.part(log)) else { return nil }
        exchange.tag1 = 1
        let now = clock.monotonicMicroseconds
        return rates.take(1, of: limit.log, perSecond: limit.perSecond, nowMicroseconds: now) ? nil : .rateLimited
    }

    /// Answers a staged append if its batch is durable, or never will be.
    func settle(_ exchange: Exchange, _ staged: StagedAppend) -> Step {
        switch commitment(of: staged.batch) {
        case .open: return .wait
        case .lost(let problem): return answer(exchange, problem)
        case .durable:
            acknowledge(exchange, staged)
            return .answered
        }
    }

    private func acknowledge(_ exchange: Exchange, _ staged: StagedAppend) {
        guard case .records(let log) = unsafe Router.route(exchange.target).route else {
            preconditionFailure("an append was staged for a target that takes none")
        }
        let name = unsafe exchange.part(log)
        json.removeAll()
        unsafe json.appended(staged, log: name)
        json.literal("\n")
        location.removeAll()
        location.literal("/v1/logs/")
        unsafe location.raw(name)
        location.literal("/records/")
        location.number(staged.first.rawValue)
        var response = HTTPResponse(status: 201, copying: json.bytes)
        response.addCommonHeaders(contentType: MediaType.json)
        unsafe location.bytes.withUnsafeBytes { unsafe response.addHeader("Location", $0) }
        if staged.isRepeat { response.addHeader("Idempotent-Replayed", "true") }
        exchange.respond(response)
    }

    /// Says once in a while that the disk is full: appends that are refused come by the thousand.
    func noteFullDisk(_ error: FileError) {
        let now = clock.monotonicMicroseconds
        guard now >= nextFullDiskNote else { return }
        nextFullDiskNote = now + ServiceLimits.fullDiskNoteMicroseconds
        logger.error("no further segment can be made: appends are refused", metadata: ["error": "\(error)"])
    }

    func problem(of cause: AppendRefusal.Cause) -> Problem {
        switch cause {
        case .logNotFound: .logNotFound
        case .conditionFailed(let next, let log): .conditionFailed(next: next, log: log)
        case .logClosed(let next): .logClosed(next: next)
        case .fenced(let epoch): .producerFenced(epoch: epoch)
        case .sequenceGap(let expected, let received): .sequenceGap(expected: expected, received: received)
        case .duplicateForgotten: .duplicateForgotten
        case .keyReused: .keyReused
        case .keysFull(let seconds): .keysFull(retryAfterSeconds: seconds)
        case .producersFull: .producersFull
        case .trimBeyondTail(let next): .trimBeyondTail(next: next)
        }
    }

    func problem(of refusal: RecordBody.Refusal) -> Problem {
        switch refusal {
        case .empty: .emptyBody
        case .malformed(let place): .malformedRecords(atByte: place)
        case .recordTooLarge(let index, let bytes):
            .recordTooLarge(index: index, bytes: bytes, bytesMax: limits.recordBytesMax)
        case .tooManyRecords: .tooManyRecords(countMax: limits.recordCountMax)
        }
    }
}
