import HTTPFrontEnd

/// Answers by path:
/// - `/echo…` at once, with the body (or, for GET and HEAD, with "echo"),
/// - `/poll…` by `poll` once committed, `/later…` by `respond` at the commit, both after `.wait`,
/// - `/suspend…` by `respond` at the commit, after `.suspend`,
/// - `/limit…` as `/echo` with a body of at most 100 bytes,
/// - `/discard` at once, its body is not wanted,
/// - `/close` at once, and closes,
/// - `/stream` by a stream that sends what the test gives it; `/stream/later` begins it at the commit,
/// - `/large` at once, with 8 MiB,
/// - anything else gets a 404 in `admit`.
///
/// Only for the loop's thread.
final class TestHandler: RequestHandler {
    private(set) var handledTargets: [String] = []
    private(set) var admittedCount = 0
    private(set) var polledCount = 0
    private(set) var abandonedCount = 0
    private(set) var waiting: [Exchange] = []
    private(set) var sources: [TestSource] = []
    /// Called once by the next `handle`.
    var duringNextHandle: (() -> Void)?
    /// Exchanges whose number is at most this one are durable.
    private var durableNumber: UInt64 = 0
    private var lastNumber: UInt64 = 0

    override func admit(_ exchange: Exchange) -> Admission {
        admittedCount += 1
        let path = exchange.targetText
        if path.hasPrefix("/limit") { return .receive(bodyBytesMax: 100) }
        if path == "/discard" { return .discard }
        for known in ["/echo", "/poll", "/later", "/suspend", "/close", "/large", "/stream"] where path.hasPrefix(known)
        {
            return .receive(bodyBytesMax: .max)
        }
        exchange.respond(
            Problem(status: 404, code: "not_found", title: "Not found", detail: "There is nothing at \"\(path)\"."))
        return .answered
    }

    override func handle(_ exchange: Exchange) -> Step {
        let path = exchange.targetText
        handledTargets.append(path)
        duringNextHandle?()
        duringNextHandle = nil
        if path.hasPrefix("/poll") || path.hasPrefix("/later") {
            return wait(exchange, .wait)
        } else if path.hasPrefix("/suspend") {
            return wait(exchange, .suspend)
        } else if path == "/stream/later" {
            return wait(exchange, .suspend)
        } else if path == "/stream" {
            stream(exchange)
            return .streaming
        } else if path == "/large" {
            exchange.respond(HTTPResponse(status: 200, copying: [UInt8](repeating: 7, count: 8 << 20)))
        } else {
            var response =
                switch exchange.method {
                case .get, .head: HTTPResponse(status: 200, body: "echo")
                default: HTTPResponse(status: 200, copying: exchange.body)
                }
            response.addHeader("Content-Type", "text/plain")
            response.closeConnection = path == "/close"
            exchange.respond(response)
        }
        return .answered
    }

    override func poll(_ exchange: Exchange) -> Step {
        polledCount += 1
        if exchange.targetText.hasPrefix("/suspend") { return .suspend }
        guard exchange.targetText.hasPrefix("/poll"), exchange.tag0 <= durableNumber else { return .wait }
        waiting.removeAll { $0 === exchange }
        exchange.respond(HTTPResponse(status: 201, copying: exchange.body))
        return .answered
    }

    override func abandoned(_ exchange: Exchange) {
        abandonedCount += 1
    }

    /// Makes everything durable that waits. What is not polled is answered here; abandoned exchanges are released.
    func commit() {
        durableNumber = lastNumber
        let polled = waiting.filter { !$0.isClientGone && $0.targetText.hasPrefix("/poll") }
        for exchange in waiting {
            if exchange.isClientGone {
                exchange.release()
            } else if exchange.targetText == "/stream/later" {
                stream(exchange)
            } else if !exchange.targetText.hasPrefix("/poll") {
                exchange.respond(HTTPResponse(status: 201, copying: exchange.body))
            }
        }
        waiting = polled
    }

    private func stream(_ exchange: Exchange) {
        let source = TestSource()
        var head = HTTPResponse(status: 200)
        head.addHeader("Content-Type", "text/plain")
        source.stream = exchange.stream(head, from: source)
        sources.append(source)
    }

    private func wait(_ exchange: Exchange, _ step: Step) -> Step {
        lastNumber += 1
        exchange.tag0 = lastNumber
        waiting.append(exchange)
        return step
    }
}

extension Exchange {
    /// The target as text; wrong UTF-8 repaired.
    var targetText: String {
        String(decoding: target, as: UTF8.self)
    }
}

/// Sends the pieces that it is given, and counts what it hears.
final class TestSource: StreamSource {
    var stream: ResponseStream?
    private var pieces: [SharedBytes] = []
    private(set) var askedCount = 0
    private(set) var endedSendingCount = 0
    private(set) var endings: [StreamEnding] = []
    /// What `next` gives when no piece is left.
    var rest = StreamNext.later

    func push(_ piece: SharedBytes) {
        pieces.append(piece)
        stream?.wake()
    }

    func end(_ last: StreamNext = .end) {
        rest = last
        stream?.wake()
    }

    override func next(_ stream: ResponseStream) -> StreamNext {
        askedCount += 1
        return pieces.isEmpty ? rest : .piece(pieces.removeFirst())
    }

    override func clientEndedSending(_ stream: ResponseStream) {
        endedSendingCount += 1
    }

    override func ended(_ stream: ResponseStream, _ ending: StreamEnding) {
        endings.append(ending)
    }
}
