// The life of a request. libmicrohttpd calls the handler once when the headers are there, once for each piece of the
// body, and once when the request is complete; the last call is repeated in every round until an answer is queued.
// It takes an answer only in the first call (and then closes the connection) and in the last.
extension HTTPFrontEnd {
    /// The request line has arrived.
    func requestBegan(target: UnsafePointer<CChar>?, on connection: ConnectionHandle) -> Exchange {
        let tracked = unsafe Unmanaged<TrackedConnection>.fromOpaque(connection.context!).takeUnretainedValue()
        let exchange = pooledExchange()
        unsafe exchange.begin(target: target, on: connection, tracked)
        tracked.enter(.header, now: now)
        unsafe tracked.exchange = exchange
        hasProgressed = true
        unfinishedHeaderCount += 1
        return exchange
    }

    /// Any call of the handler. False cuts the connection.
    func requestCalled(_ exchange: Exchange, line: RequestLine, data: UnsafeRawBufferPointer) -> Bool {
        let isData = unsafe !data.isEmpty
        if isData { hasProgressed = true }
        switch exchange.phase {
        case .requestLine:
            return headersArrived(exchange, line)
        case .receiving:
            return isData ? unsafe receive(data, for: exchange) : complete(exchange)
        case .skipping:
            return isData ? skip(data.count, for: exchange) : complete(exchange)
        case .refusing:
            return isData ? skip(data.count, for: exchange) : tellRefusal(exchange)
        case .waiting:
            return askAgain(exchange)
        case .streamed:
            return false
        case .suspended, .suspendedItself, .streaming, .free, .answering, .abandoned:
            preconditionFailure("libmicrohttpd called for a request that is \(exchange.phase)")
        }
    }

    /// The request is over: answered, or its connection is gone.
    func requestEnded(_ exchange: Exchange) {
        // The next request may have been read already.
        hasProgressed = true
        if exchange.phase == .requestLine { unfinishedHeaderCount -= 1 }
        if let tracked = unsafe exchange.tracked {
            tracked.enter(.idle, now: now)
            unsafe tracked.exchange = nil
            // An answer queued before the drain began did not say that the connection ends.
            if isDraining { tracked.cut() }
        }
        let isAbandoned = exchange.isWaiting && exchange.answer == nil && exchange.stream == nil
        exchange.connection = nil
        unsafe exchange.tracked = nil
        exchange.stream?.end(.cut)
        guard isAbandoned else { return recycle(exchange) }
        exchange.isClientGone = true
        move(exchange, to: .abandoned)
        handler.abandoned(exchange)
    }

    // MARK: First call

    private func headersArrived(_ exchange: Exchange, _ line: RequestLine) -> Bool {
        guard let connection = exchange.connection else { return false }
        // Whatever becomes of it, it is no longer one whose headers are missing.
        exchange.phase = .receiving
        unfinishedHeaderCount -= 1
        let head = connection.summarizeHeaders(behind: line)
        exchange.method = unsafe HTTPMethod(text: line.method)
        if let problem = refusal(of: exchange, line, head) {
            return refuseAtOnce(exchange, problem)
        }
        if unsafe exchange.tracked?.isSurplus == true { return refuseSurplus(exchange, head) }
        exchange.notedHeaders = head.noted
        exchange.repeatedHeaders = head.repeated
        exchange.contentLength = head.contentLengthCount == 1 ? head.contentLength : nil
        let isChunked = head.transferEncodingCount > 0
        let hasBody = isChunked || head.contentLength > 0
        if hasBody { unsafe exchange.tracked?.enter(.body, now: now) }
        switch handler.admit(exchange) {
        case .answered:
            precondition(exchange.answer != nil, "an exchange that is answered has an answer")
            return refuse(exchange, head)
        case .discard:
            guard head.contentLength <= UInt64(limits.drainBytesMax) else {
                return refuse(exchange, head, .bodyTooLarge(bytesMax: limits.drainBytesMax))
            }
            exchange.phase = .skipping
            return true
        case .receive(let bodyBytesMax):
            exchange.bodyBytesMax = min(bodyBytesMax, limits.requestBodyBytesMax)
            return beginReceiving(exchange, head)
        }
    }

    /// What is wrong with the request before anyone looks at what it wants.
    private func refusal(of exchange: Exchange, _ line: RequestLine, _ head: HeaderSummary) -> Problem? {
        if exchange.isTargetTooLong { return .targetTooLong(bytesMax: limits.targetBytesMax) }
        if !exchange.isTargetValid(in: line) { return .invalidTarget }
        if head.hasInvalidLine { return .invalidHeader }
        let isHTTP10 = line.isHTTP10
        exchange.isHTTP10 = isHTTP10
        if head.contentLengthCount > 1 { return .ambiguousLength }
        if head.transferEncodingCount > 0 {
            if head.contentLengthCount > 0 || isHTTP10 { return .ambiguousLength }
            if head.transferEncodingCount > 1 || !head.isChunkedOnly { return .unknownTransferCoding }
        }
        if head.hostCount > 1 || (head.hostCount == 0 && !isHTTP10) { return .invalidHost }
        return nil
    }

    private func beginReceiving(_ exchange: Exchange, _ head: HeaderSummary) -> Bool {
        guard head.contentLength <= UInt64(exchange.bodyBytesMax) else {
            return refuse(exchange, head, .bodyTooLarge(bytesMax: exchange.bodyBytesMax))
        }
        guard reserve(Int(head.contentLength), for: exchange) else {
            return refuse(exchange, head, .overloadedByBodies)
        }
        return true
    }

    // MARK: Body

    private func receive(_ data: UnsafeRawBufferPointer, for exchange: Exchange) -> Bool {
        unsafe exchange.tracked?.bytes += UInt64(data.count)
        let needed = exchange.bodyBuffer.byteCount + data.count
        if needed > exchange.bodyBytesMax {
            return unsafe giveUpBody(of: exchange, data, .bodyTooLarge(bytesMax: exchange.bodyBytesMax))
        }
        if needed > exchange.reservedBytes {
            let doubled = min(max(needed, exchange.reservedBytes * 2, 1_024), exchange.bodyBytesMax)
            guard reserve(doubled, for: exchange) else {
                return unsafe giveUpBody(of: exchange, data, .overloadedByBodies)
            }
        }
        unsafe exchange.bodyBuffer.append(data)
        return true
    }

    /// Makes room for a body of `bytes`, if all bodies together stay within their limit.
    private func reserve(_ bytes: Int, for exchange: Exchange) -> Bool {
        let more = bytes - exchange.reservedBytes
        guard receivingBytes + more <= limits.receivingBytesMax else { return false }
        receivingBytes += more
        exchange.reservedBytes = bytes
        exchange.bodyBuffer.reserve(bytes)
        return true
    }

    /// A chunked body turned out to be too much: throws it away, the problem is told at its end.
    private func giveUpBody(of exchange: Exchange, _ data: UnsafeRawBufferPointer, _ problem: Problem) -> Bool {
        exchange.skippedBytes = exchange.bodyBuffer.byteCount
        exchange.releaseBody()
        exchange.answer = problem.response()
        exchange.phase = .refusing
        return skip(data.count, for: exchange)
    }

    /// Throws bytes away; more than `drainBytesMax` cost the connection.
    private func skip(_ byteCount: Int, for exchange: Exchange) -> Bool {
        exchange.skippedBytes += byteCount
        unsafe exchange.tracked?.bytes += UInt64(byteCount)
        return exchange.skippedBytes <= limits.drainBytesMax
    }

    // MARK: Last call

    private func complete(_ exchange: Exchange) -> Bool {
        unsafe exchange.tracked?.enter(.handling, now: now)
        return settle(exchange, handler.handle(exchange))
    }

    private func askAgain(_ exchange: Exchange) -> Bool {
        if exchange.isLost { return false }
        if exchange.stream != nil { return settle(exchange, .streaming) }
        if exchange.wantsSuspension && exchange.answer == nil {
            exchange.wantsSuspension = false
            if isStopping { return false }
            suspend(exchange, as: .suspended)
            return true
        }
        return exchange.answer != nil ? tellRefusal(exchange) : settle(exchange, handler.poll(exchange))
    }

    private func settle(_ exchange: Exchange, _ step: Step) -> Bool {
        switch step {
        case .answered:
            precondition(exchange.answer != nil, "an exchange that is answered has an answer")
            return queueAnswer(of: exchange)
        case .streaming:
            precondition(exchange.stream != nil, "an exchange that streams has a stream")
            // A stopped front end has no later round, and nobody resumes for a stream that has ended already.
            if isStopping || exchange.stream?.hasEnded == true { return false }
            suspend(exchange, as: .streaming)
            return true
        case .wait, .suspend:
            precondition(exchange.answer == nil, "an exchange that waits has no answer")
            if exchange.phase != .waiting {
                exchange.waitingSince = now
                move(exchange, to: .waiting)
            }
            // A stopped front end has no later round: the connection ends, the exchange is abandoned.
            if isStopping { return false }
            if case .suspend = step {
                // In the next round. libmicrohttpd 0.9.75 reads from a connection that is resumed as it did when the handler
                // suspended it, and if that was its first final call it was reading: it would find the end of a client that
                // has only ended its own side, and close instead of answering.
                exchange.wantsSuspension = true
                hasProgressed = true
            } else if now >= exchange.waitingSince + HTTPLimits.retryMicrosecondsMax {
                suspend(exchange, as: .suspendedItself)
            }
            return true
        }
    }

    // MARK: Answers

    /// Refuses a request that came on a surplus connection: at once if a body would have to be read, else when it is its turn.
    private func refuseSurplus(_ exchange: Exchange, _ head: HeaderSummary) -> Bool {
        guard head.contentLength <= UInt64(HTTPLimits.keptBodyBytesMax), head.transferEncodingCount == 0,
            !head.expectsContinue
        else { return refuseAtOnce(exchange, .overloadedByConnections) }
        exchange.answer = Problem.overloadedByConnections.response()
        exchange.phase = .refusing
        return true
    }

    /// Gives the stored answer; on a surplus connection only as often as such refusals may cost those who are served.
    private func tellRefusal(_ exchange: Exchange) -> Bool {
        guard unsafe exchange.tracked?.isSurplus == true, !surplusRefusals.take(now: now) else {
            return queueAnswer(of: exchange)
        }
        move(exchange, to: .waiting)
        return true
    }

    /// Refuses a request whose framing cannot be trusted, or whose body is not to be read.
    private func refuseAtOnce(_ exchange: Exchange, _ problem: Problem) -> Bool {
        exchange.answer = problem.response()
        exchange.answer?.closeConnection = true
        return queueAnswer(of: exchange)
    }

    /// Answers before the body: at once where reading the body makes no sense, else after it, so that the connection
    /// lives on and the client reads the answer.
    private func refuse(_ exchange: Exchange, _ head: HeaderSummary, _ problem: Problem? = nil) -> Bool {
        if let problem { exchange.answer = problem.response() }
        let hasBody = head.contentLength > 0 || head.transferEncodingCount > 0
        let waitsForContinue = hasBody && head.expectsContinue
        if waitsForContinue || head.contentLength > UInt64(limits.drainBytesMax) {
            exchange.answer?.closeConnection = true
            return queueAnswer(of: exchange)
        }
        exchange.phase = .refusing
        return true
    }

    private func queueAnswer(of exchange: Exchange) -> Bool {
        guard var answer = exchange.answer.take(), let connection = exchange.connection else { return false }
        if answer.closeConnection || isDraining { answer.addHeader("Connection", "close") }
        move(exchange, to: .answering)
        // An answer queued in a repeated call is sent by the next round.
        hasProgressed = true
        unsafe exchange.tracked?.enter(.answering, now: now, bytes: UInt64(answer.bodyBytes))
        return connection.queue(answer)
    }
}

extension Exchange {
    /// The service has it and has not answered.
    var isWaiting: Bool {
        switch phase {
        case .waiting, .suspendedItself, .suspended: true
        case .free, .requestLine, .receiving, .skipping, .refusing, .streaming, .streamed, .answering, .abandoned: false
        }
    }

    /// Out of libmicrohttpd's lists, and not a stream.
    var isSuspended: Bool {
        phase == .suspended || phase == .suspendedItself
    }
}
