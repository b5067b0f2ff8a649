import HTTPFrontEnd
import LogFormat
import LogStore
import Logging
import WriteAheadLog

/// A staged append that waits for its commit. It lives in the exchange's tags, so that waiting costs no memory.
struct StagedAppend: Equatable {
    /// The batch whose durability acknowledges it.
    let batch: BatchNumber
    let first: RecordOffset
    let count: Int
    let timestamp: Timestamp

    init(_ ticket: AppendTicket) {
        batch = ticket.batch
        first = ticket.first
        count = ticket.count
        timestamp = ticket.timestamp
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
        count = Int(exchange.tag3)
    }

    func keep(in exchange: Exchange) {
        assert(batch != .zero && exchange.tag0 == 0)
        exchange.tag0 = batch.rawValue
        exchange.tag1 = first.rawValue
        exchange.tag2 = timestamp.rawValue
        exchange.tag3 = UInt64(count)
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
        let body: RecordBody
        do throws(RecordBody.Refusal) {
            body = unsafe try RecordBody(
                exchange.body, encoding: MediaType.encoding(ofContentType: exchange.header("Content-Type")),
                recordBytesMax: limits.recordBytesMax, recordCountMax: limits.recordCountMax)
        } catch {
            return answer(exchange, problem(of: error))
        }
        switch unsafe store.append(to: exchange.part(log), body) {
        case .staged(let ticket):
            StagedAppend(ticket).keep(in: exchange)
            exchange.releaseBody()
            return .wait
        case .busy:
            hasBusyAppends = true
            return .wait
        case .refused, .repeated: return answer(exchange, .logNotFound)
        case .pendingLimit: return answer(exchange, .overloadedByPending)
        case .noSegment(let error):
            noteFullDisk(error)
            return answer(exchange, .diskFull)
        case .poisoned: return answer(exchange, .logPoisoned)
        }
    }

    /// Answers a staged append if its batch is durable, or never will be.
    func settle(_ exchange: Exchange, _ staged: StagedAppend) -> Step {
        if staged.batch <= store.wal.durable.number {
            acknowledge(exchange, staged)
            return .answered
        }
        guard store.wal.poisonCause != nil else { return .wait }
        // What was not handed to the disk never will be.
        let wasHandedOver = staged.batch < store.wal.fillingNumber
        return answer(exchange, wasHandedOver ? .logPoisonedWhileWaiting : .logPoisoned)
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
        exchange.respond(response)
    }

    /// Says once in a while that the disk is full: appends that are refused come by the thousand.
    private func noteFullDisk(_ error: FileError) {
        let now = clock.monotonicMicroseconds
        guard now >= nextFullDiskNote else { return }
        nextFullDiskNote = now + ServiceLimits.fullDiskNoteMicroseconds
        logger.error("no further segment can be made: appends are refused", metadata: ["error": "\(error)"])
    }

    private func problem(of refusal: RecordBody.Refusal) -> Problem {
        switch refusal {
        case .empty: .emptyBody
        case .malformed(let place): .malformedRecords(atByte: place)
        case .recordTooLarge(let index, let bytes):
            .recordTooLarge(index: index, bytes: bytes, bytesMax: limits.recordBytesMax)
        case .tooManyRecords: .tooManyRecords(countMax: limits.recordCountMax)
        }
    }
}
