import CommitLog
import HTTPFrontEnd
import LogStore
import Logging

/// What the bodies of appends may hold.
public struct AppendLimits: Sendable {
    /// Bytes of a request body.
    public var bodyBytesMax: Int
    /// Bytes of a record.
    public var recordBytesMax: Int
    /// Records of a request.
    public var recordCountMax: Int

    public init(bodyBytesMax: Int, recordBytesMax: Int, recordCountMax: Int) {
        self.bodyBytesMax = bodyBytesMax
        self.recordBytesMax = recordBytesMax
        self.recordCountMax = recordCountMax
    }
}

/// The routes over one store. What each does is in its own extension: appends, reads, documents.
///
/// An append is admitted, read whole, staged in the store's filling batch, and answered when that batch is durable:
/// `admit` → `handle` → `poll`, again and again, until the store's durable batch number has reached the append's.
final class Service: RequestHandler {
    let store: LogStore
    let limits: AppendLimits
    let live: LiveTails
    let clock = SystemClock()
    let logger: Logger
    /// Monotonic microseconds at the start.
    let startedAt: Int64
    /// For the numbers of connections and waiting requests in the stats.
    /// Unowned, not weak: a weak reference would make each retain of the front end slow. It lives as long as this.
    unowned var frontEnd: HTTPFrontEnd?
    /// The server is being stopped: requests are still served, readiness is gone.
    var isDraining = false
    /// The store is being closed: nothing may be staged any more.
    var isClosing = false
    /// An append found no room and asks again when the loop has turned.
    var hasBusyAppends = false
    /// Monotonic microseconds from which a full disk is logged again.
    var nextFullDiskNote: Int64 = 0
    /// Used for one answer at a time, and kept.
    let jsonParser = JSONParser()
    var rates = RateLimiter()
    var json = JSONWriter()
    var location = JSONWriter()
    /// Bytes that the reads in `waitingReads` may need.
    var waitingReadBytes = 0
    /// Exchanges whose read waits for the disk or for its turn.
    var waitingReads: [ObjectIdentifier: Exchange] = [:]
    /// Those of them that wait for nothing but their turn, the one that has waited longest first.
    var pausedReads: [RecordReading] = []

    init(_ store: LogStore, _ limits: AppendLimits, _ liveLimits: LiveLimits, _ logger: Logger) {
        self.store = store
        self.limits = limits
        self.logger = logger
        startedAt = clock.monotonicMicroseconds
        live = LiveTails(store, liveLimits, now: startedAt)
        super.init()
        live.endWait = { [unowned self] in endWait($0) }
    }

    /// Whether appends are taken.
    var isReady: Bool { !isDraining && store.wal.poisonCause == nil }

    override func admit(_ exchange: Exchange) -> Admission {
        let route = unsafe Router.route(exchange.target).route
        let bodyBytesMax: Int
        switch (exchange.method, route) {
        case (.post, .records): bodyBytesMax = limits.bodyBytesMax
        case (.post, .batch): bodyBytesMax = min(limits.bodyBytesMax, ServiceLimits.batchBodyBytesMax)
        case (.put, .log), (.patch, .log), (.post, .trim): bodyBytesMax = ServiceLimits.jsonBodyBytesMax
        default: return .discard
        }
        if let log = route.log, unsafe !LogName.isValid(exchange.part(log)) { return refuse(exchange, .invalidLogName) }
        if let problem = appendRefusal { return refuse(exchange, problem) }
        return .receive(bodyBytesMax: bodyBytesMax)
    }

    override func handle(_ exchange: Exchange) -> Step {
        let routed = unsafe Router.route(exchange.target)
        switch (exchange.method, routed.route) {
        case (.post, .records(let log)): return append(exchange, log)
        case (.post, .batch): return appendBatch(exchange)
        case (.put, .log(let log)): return createLog(exchange, log)
        case (.patch, .log(let log)): return change(exchange, log, configureLog)
        case (.delete, .log(let log)): return change(exchange, log, deleteLog)
        case (.post, .trim(let log)): return change(exchange, log, trimLog)
        case (.post, .close(let log)): return change(exchange, log, closeLog)
        default: return readOrRefuse(exchange, routed)
        }
    }

    private func readOrRefuse(_ exchange: Exchange, _ routed: RoutedTarget) -> Step {
        guard routed.route != .unknown else { return answer(exchange, .notFound) }
        guard routed.route.isRead, exchange.method == .get || exchange.method == .head else {
            var response = Problem.methodNotAllowed.response()
            response.addHeader("Allow", routed.route.allow)
            exchange.respond(response)
            return .answered
        }
        return read(exchange, routed)
    }

    override func poll(_ exchange: Exchange) -> Step {
        if let staged = StagedAppend(of: exchange) { return settle(exchange, staged) }
        if let pending = exchange.attachment as? PendingAnswer { return settle(exchange, pending) }
        return handle(exchange)
    }

    override func abandoned(_ exchange: Exchange) {
        if let reading = exchange.attachment as? RecordReading {
            endWaiting(reading)
            store.cancel(reading.read)
        } else if let poll = exchange.attachment as? LongPoll {
            live.remove(poll)
        }
        // What an append staged lies in the store: nobody needs the exchange for it.
        exchange.release()
    }

    /// Answers with a problem.
    func answer(_ exchange: Exchange, _ problem: Problem) -> Step {
        exchange.respond(problem)
        return .answered
    }

    /// Finds the log that a change is about.
    private func change(_ exchange: Exchange, _ log: Range<Int>, _ change: (Exchange, LogSlot) -> Step) -> Step {
        guard unsafe LogName.isValid(exchange.part(log)) else { return answer(exchange, .invalidLogName) }
        guard let slot = unsafe store.slot(named: exchange.part(log)) else { return answer(exchange, .logNotFound) }
        return change(exchange, slot)
    }

    private func refuse(_ exchange: Exchange, _ problem: Problem) -> Admission {
        exchange.respond(problem)
        return .answered
    }

    private func read(_ exchange: Exchange, _ routed: RoutedTarget) -> Step {
        switch routed.route {
        case .records(let log): readPage(exchange, log, routed.query)
        case .record(let log, let offset): readRecord(exchange, log, offset)
        case .log(let log): readLog(exchange, log)
        case .logs: readLogs(exchange, routed.query)
        case .stats: readStats(exchange, routed.query)
        case .health: answer(exchange, json: #"{"status":"ok"}\#n"#)
        case .readiness: readReadiness(exchange)
        case .contract: readContract(exchange)
        case .trim, .close, .batch, .unknown: answer(exchange, .notFound)
        }
    }
}

extension Exchange {
    /// The bytes of a part of the target. Valid as long as the exchange.
    func part(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: target[range])
    }
}

extension HTTPResponse {
    /// The header lines that every answer of the service has.
    mutating func addCommonHeaders(contentType: StaticString) {
        addHeader("Content-Type", contentType)
        addHeader("Cache-Control", "no-store")
        addHeader("X-Content-Type-Options", "nosniff")
    }
}
