import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore

// The life of logs. Each change is a frame like an append, and is answered when it is durable.
extension Service {
    /// `PUT /v1/logs/{log}`
    func createLog(_ exchange: Exchange, _ log: Range<Int>) -> Step {
        changeLog(exchange) { () throws(InvalidBody) in
            let settings = try parsedBody(exchange, emptyAs: LogSettings()) { value throws(InvalidBody) in
                try LogSettings(value)
            }
            return changed(
                exchange, unsafe store.create(exchange.part(log), settings), .log(status: 201))
        }
    }

    /// `PATCH /v1/logs/{log}`
    func configureLog(_ exchange: Exchange, _ slot: LogSlot) -> Step {
        changeLog(exchange) { () throws(InvalidBody) in
            let current = store.sequencedSettings(slot)
            let settings = try parsedBody(exchange, emptyAs: current) { value throws(InvalidBody) in
                var settings = current
                try settings.merge(value)
                return settings
            }
            return changed(exchange, store.configure(slot, settings), .log(status: 200))
        }
    }

    /// `DELETE /v1/logs/{log}`
    func deleteLog(_ exchange: Exchange, _ slot: LogSlot) -> Step {
        changeLog(exchange) { () throws(InvalidBody) in
            changed(exchange, store.delete(slot), .deleted)
        }
    }

    /// `POST /v1/logs/{log}/close`
    func closeLog(_ exchange: Exchange, _ slot: LogSlot) -> Step {
        changeLog(exchange) { () throws(InvalidBody) in
            changed(exchange, store.close(slot), .log(status: 200))
        }
    }

    /// `POST /v1/logs/{log}/trim`
    func trimLog(_ exchange: Exchange, _ slot: LogSlot) -> Step {
        changeLog(exchange) { () throws(InvalidBody) in
            let before = try parsedBody(exchange, emptyAs: nil) { value throws(InvalidBody) in
                let members = try JSONMembers(value, of: "The body", names: ["before"])
                return try members.number("before", from: 0, through: .max)
            }
            guard let before else { throw InvalidBody("'before' of the body is missing: the first offset to keep.") }
            return changed(exchange, store.trim(slot, before: RecordOffset(rawValue: before)), .log(status: 200))
        }
    }

    /// Does what every change begins with.
    private func changeLog(_ exchange: Exchange, _ change: () throws(InvalidBody) -> Step) -> Step {
        // The server may have begun to close while the body came in.
        if let problem = appendRefusal { return answer(exchange, problem) }
        if hasBusyAppends { return .wait }
        do throws(InvalidBody) { return try change() } catch { return answer(exchange, .invalidBody(error)) }
    }

    /// What a JSON body says; `empty` without a body.
    private func parsedBody<Value>(
        _ exchange: Exchange, emptyAs empty: Value, _ read: (JSONValue) throws(InvalidBody) -> Value
    ) throws(InvalidBody) -> Value {
        unsafe exchange.body.isEmpty ? empty : try jsonParser.parse(exchange.body, read)
    }

    /// Goes on with what the store said to a change.
    private func changed(_ exchange: Exchange, _ outcome: StoreChange, _ content: PendingAnswer.Content) -> Step {
        switch outcome {
        case .staged(let ticket):
            exchange.releaseBody()
            return answer(exchange, after: ticket.batch, content)
        case .unchanged(let batch):
            // A log that is there already is not new.
            if case .log = content { return answer(exchange, after: batch, .log(status: 200)) }
            return answer(exchange, after: batch, content)
        case .conflict(let batch): return answer(exchange, after: batch, .problem(.settingsDiffer))
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

    /// Answers with the log that the target names.
    func answerWithLog(_ exchange: Exchange, status: Int) -> Step {
        guard let log = unsafe Router.route(exchange.target).route.log,
            let slot = unsafe store.slot(named: exchange.part(log))
        else { return answer(exchange, .logNotFound) }
        json.removeAll()
        json.log(store.summary(slot))
        json.literal("\n")
        var response = HTTPResponse(status: status, copying: json.bytes)
        response.addCommonHeaders(contentType: MediaType.json)
        if status == 201 {
            location.removeAll()
            location.literal("/v1/logs/")
            unsafe location.raw(exchange.part(log))
            unsafe location.bytes.withUnsafeBytes { unsafe response.addHeader("Location", $0) }
        }
        exchange.respond(response)
        return .answered
    }
}
