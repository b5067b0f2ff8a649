import HTTPFrontEnd
import LogFormat
import LogStore

extension Service {
    /// Has the exchange wait until a record at `from` is durable, the log is closed or deleted, the server drains, or it is
    /// `until` (monotonic microseconds). Then the request is handled anew, with `hasWaited` set: it must not wait again.
    func waitForRecords(_ exchange: Exchange, _ slot: LogSlot, from: RecordOffset, until: Int64) -> Step {
        let state = store.followedState(slot)
        if state.next > from || state.isClosed || state.isDeleted || live.isDraining
            || until <= clock.monotonicMicroseconds
        {
            exchange.hasWaited = true
            return handle(exchange)
        }
        live.add(LongPoll(exchange, slot, from: from, until: until))
        return .suspend
    }

    /// Handles a request anew that has waited for records.
    func endWait(_ exchange: Exchange) {
        exchange.hasWaited = true
        _ = handle(exchange)
    }

    /// Answers with the records from an offset on as server-sent events, for as long as the client stays. A `Last-Event-ID`
    /// wins over `from`.
    func beginLiveTail(_ exchange: Exchange, _ slot: LogSlot, from: RecordOffset) -> Step {
        var from = from
        let state = store.followedState(slot)
        if let text = unsafe exchange.header("Last-Event-ID") {
            guard let last = unsafe DecimalNumber.parse(text), last < .max else {
                return answer(exchange, .invalidLastEventID)
            }
            from = RecordOffset(rawValue: last) + 1
            // Nothing will come: a client that gets this does not ask again (the HTML standard, 9.2.3).
            if state.isClosed && from >= state.next {
                var response = HTTPResponse(status: 204)
                response.addHeader("Cache-Control", "no-store")
                response.addHeader("X-Content-Type-Options", "nosniff")
                exchange.respond(response)
                return .answered
            }
        }
        if live.isDraining { return answer(exchange, .drainingLiveTails) }
        guard live.subscriberCount < live.subscribersMax else {
            return answer(exchange, .overloadedBySubscribers)
        }
        var head = HTTPResponse(status: 200)
        head.addCommonHeaders(contentType: MediaType.events)
        head.addHeader("X-Accel-Buffering", "no")
        head.addHeader("Vary", "Accept")
        let subscriber = live.subscribe(slot, from: from)
        guard let stream = exchange.stream(head, from: subscriber) else {
            live.remove(subscriber)
            return .suspend
        }
        subscriber.begin(stream)
        return .streaming
    }
}

extension Exchange {
    /// It waits for a commit, or for room in a batch; the other waits have what they wait for attached.
    var waitsForCommit: Bool {
        !(attachment is LongPoll) && !(attachment is RecordReading)
    }

    /// The request has waited for records and must not do so again. Reads use no other tag.
    var hasWaited: Bool {
        get { tag3 == 1 }
        set { tag3 = newValue ? 1 : 0 }
    }
}

extension Problem {
    static let invalidLastEventID = Problem(
        status: 400, code: "invalid_last_event_id", title: "Invalid Last-Event-ID",
        detail: "Last-Event-ID is the offset of the last record that was received, in decimal digits.")

    static let overloadedBySubscribers = Problem(
        status: 503, code: "overloaded", title: "Overloaded",
        detail: "As many clients follow logs as may. Send the request again later.",
        retryable: true, retryAfterSeconds: 10)

    static let drainingLiveTails = Problem(
        status: 503, code: "draining", title: "Stopping",
        detail: "The server is stopping: nobody can follow a log. Send the request again when it is back.",
        retryable: true, retryAfterSeconds: 1)
}
