import Glibc

/// The HTTP server: libmicrohttpd driven by its owner's loop.
///
/// The owner polls `epollDescriptor`, and calls
/// - `run` when it or `streamsDescriptor` is readable, after answers were given, and again without sleeping while `mustRunAgain` (under load
///   that may be always: do what else there is to do between two runs),
/// - `resumeWaiting` after each commit, then `run`,
/// - `tick` every 100 ms, then `run`.
///
/// One thread uses it and everything it hands out. Requests arrive at the `RequestHandler`.
public final class HTTPFrontEnd {
    let limits: HTTPLimits
    let handler: RequestHandler
    /// The port that was bound.
    public let listeningPort: UInt16
    /// Poll it for input. It stays readable while libmicrohttpd has events that `run` has not taken.
    public private(set) var epollDescriptor: Int32 = -1
    /// Poll it for input, too: the sockets of streaming answers.
    public var streamsDescriptor: Int32 { streams.descriptor }
    /// True when `run` is to be called again before sleeping. Waiting exchanges alone do not make it true.
    public internal(set) var mustRunAgain = false
    /// True after `beginDrain`.
    public private(set) var isDraining = false

    /// Nil after `stop`.
    private var daemon: Daemon?
    private(set) var isStopping = false
    /// The clock of the current call, in microseconds.
    private(set) var now: UInt64 = 0

    var connections = ConnectionTable()
    var streams = StreamTable()
    var surplusRefusals = SurplusRefusals()
    /// Processor time that streams have taken to send, in all.
    public internal(set) var sendingMicroseconds: Int64 = 0
    /// The last look at the streams' sockets brought as many events as it takes.
    var mayHaveSocketEvents = false
    /// Every exchange ever made; their number is bounded by connections and abandoned exchanges.
    private var exchanges: [Exchange] = []
    private var pool: [Exchange] = []
    /// Exchanges that suspended themselves, for `resumeWaiting`. Entries may be stale.
    private var suspendedThemselves: [Exchange] = []

    /// Bytes of bodies in memory, and promised by Content-Length.
    var receivingBytes = 0
    /// Bytes of answers that were given and not yet sent to their end. The service bounds it by what it answers.
    public internal(set) var answeringBytes = 0
    /// Exchanges in phase `waiting`.
    private var retryingCount = 0
    /// A request got further in this round, so its connection may go on without a new event. libmicrohttpd knows
    /// that too, but while exchanges are asked again it always says so.
    var hasProgressed = false
    /// Rounds in a row after which work was left although no request got further.
    private var idleRounds = 0
    /// Exchanges in phase `requestLine`.
    var unfinishedHeaderCount = 0
    /// Something happened that only another round takes up.
    private var needsRound = false
    private var acceptedInRound = 0

    /// Listens on `address`, "127.0.0.1:4437" or "[::1]:4437"; port 0 lets the kernel choose.
    public convenience init(
        address: String, limits: HTTPLimits = HTTPLimits(), handler: RequestHandler
    ) throws(HTTPFrontEndError) {
        try limits.check()
        try self.init(socket: ListeningSocket(address: address), address: address, limits: limits, handler: handler)
    }

    /// Listens on a socket that was bound to `address`.
    public init(
        socket: consuming ListeningSocket, address: String, limits: HTTPLimits, handler: RequestHandler
    ) throws(HTTPFrontEndError) {
        try limits.check()
        try socket.listen(address)
        self.limits = limits
        self.handler = handler
        listeningPort = socket.port
        guard let daemon = Daemon(listening: socket.take(), limits: limits, frontEnd: self) else {
            throw .daemonRefused
        }
        self.daemon = daemon
        epollDescriptor = daemon.epollDescriptor
    }

    deinit {
        stop()
    }

    /// Open connections, those included that are only told 503.
    public var connectionCount: Int {
        connections.count
    }

    /// Requests from their first line to the end of their answer, and abandoned ones that were not released.
    public var openExchangeCount: Int {
        exchanges.count - pool.count
    }

    /// True when no exchange is open.
    public var isIdle: Bool {
        openExchangeCount == 0
    }

    /// Requests that the service has and has not answered, of those that are to be counted, and the age of the oldest. Looks at
    /// every exchange: for statistics.
    public func waitingExchanges(
        nowMicroseconds: UInt64, where isCounted: (Exchange) -> Bool = { _ in true }
    ) -> (count: Int, oldestMicroseconds: UInt64) {
        var count = 0
        var oldest = nowMicroseconds
        for exchange in exchanges where exchange.isWaiting && exchange.answer == nil && isCounted(exchange) {
            count += 1
            oldest = min(oldest, exchange.waitingSince)
        }
        return (count, nowMicroseconds - oldest)
    }

    /// Lets libmicrohttpd do what can be done now: a few rounds, never blocking.
    public func run(nowMicroseconds: UInt64) {
        now = nowMicroseconds
        guard let daemon else { return }
        takeSocketEvents()
        var rounds = 0
        repeat {
            hasProgressed = false
            needsRound = false
            acceptedInRound = 0
            daemon.run()
            mustRunAgain =
                needsRound || (retryingCount > 0 ? hasProgressed || hasUnreadHeaders : hasWorkLeft(daemon))
            rounds += 1
        } while mustRunAgain && rounds < HTTPLimits.roundsPerRunMax
        sendStreams()
    }

    /// True when libmicrohttpd can go on by itself. It always says so while a chunk's first line is longer than its read
    /// buffer, where it waits for what it has no room for: the body's deadline ends that.
    private func hasWorkLeft(_ daemon: Daemon) -> Bool {
        let isWorkLeft = daemon.hasWorkLeft
        idleRounds = hasProgressed || !isWorkLeft ? 0 : idleRounds + 1
        return isWorkLeft && idleRounds < HTTPLimits.idleRoundsMax
    }

    /// True when a socket holds more of a request's headers. They took libmicrohttpd's whole read buffer, and only
    /// the end of them calls us.
    private var hasUnreadHeaders: Bool {
        unfinishedHeaderCount > 0
            && exchanges.contains { exchange in
                unsafe exchange.phase == .requestLine && exchange.tracked?.hasUnreadBytes == true
            }
    }

    /// Asks the exchanges again that suspended themselves: after a commit.
    public func resumeWaiting() {
        for exchange in suspendedThemselves where exchange.phase == .suspendedItself {
            resume(exchange)
        }
        suspendedThemselves.removeAll(keepingCapacity: true)
    }

    /// Cuts connections past their deadlines. Call it every 100 ms: ten calls look at every connection once.
    public func tick(nowMicroseconds: UInt64) {
        now = nowMicroseconds
        for exchange in connections.cutOverdue(now: now, limits: limits) {
            exchange.isLost = true
            resume(exchange)
        }
    }

    /// Stops listening and closes connections between requests. Open requests are answered with `Connection: close`.
    public func beginDrain() {
        guard let daemon, !isDraining else { return }
        isDraining = true
        close(daemon.quiesce())
        connections.cutIdle()
        requireRound()
    }

    /// Closes everything. Exchanges still waiting are abandoned. Later calls do nothing. Not from within a handler call.
    public func stop() {
        guard let daemon else { return }
        isStopping = true
        for exchange in exchanges where exchange.isSuspended {
            resume(exchange)
        }
        for exchange in exchanges where exchange.phase == .streaming { exchange.stream?.end(.cut) }
        // One round resumes them and ends or answers each, the next sends the answers.
        for _ in 0..<HTTPLimits.roundsPerRunMax {
            daemon.run()
        }
        self.daemon = nil
        daemon.stop()
        streams.close()
        mustRunAgain = false
    }
}

// Called by exchanges and by the request code.
extension HTTPFrontEnd {
    /// Moves an exchange to another phase and counts the retrying ones.
    func move(_ exchange: Exchange, to phase: Exchange.Phase) {
        if exchange.phase == .waiting { retryingCount -= 1 }
        if phase == .waiting { retryingCount += 1 }
        exchange.phase = phase
    }

    /// Suspends a waiting exchange from within its handler call.
    func suspend(_ exchange: Exchange, as phase: Exchange.Phase) {
        move(exchange, to: phase)
        exchange.connection?.suspend()
        if phase == .suspendedItself { suspendedThemselves.append(exchange) }
    }

    /// Has a suspended exchange asked again in the next round.
    func resume(_ exchange: Exchange) {
        move(exchange, to: .waiting)
        exchange.connection?.resume()
        requireRound()
    }

    /// Has `mustRunAgain` say so, within a run and outside.
    func requireRound() {
        needsRound = true
        mustRunAgain = true
    }

    /// Counts an exchange's body bytes no longer.
    func unreserve(_ exchange: Exchange) {
        receivingBytes -= exchange.reservedBytes
        exchange.reservedBytes = 0
    }

    /// Gives an exchange back to the pool.
    func recycle(_ exchange: Exchange) {
        move(exchange, to: .free)
        unreserve(exchange)
        answeringBytes -= exchange.answerBytes
        exchange.answerBytes = 0
        exchange.reset()
        pool.append(exchange)
    }

    /// A free exchange.
    func pooledExchange() -> Exchange {
        if let exchange = pool.popLast() { return exchange }
        let exchange = Exchange(frontEnd: self, targetBytesMax: limits.targetBytesMax)
        exchanges.append(exchange)
        return exchange
    }
}

// Called by libmicrohttpd.
extension HTTPFrontEnd {
    func connectionStarted(_ connection: ConnectionHandle) -> TrackedConnection {
        let tracked = TrackedConnection(
            descriptor: connection.descriptor, isSurplus: connections.count >= limits.connectionsMax, now: now)
        connections.add(tracked)
        hasProgressed = true
        acceptedInRound += 1
        if acceptedInRound >= HTTPLimits.acceptedPerRoundMax { requireRound() }
        return tracked
    }

    func connectionClosed(_ connection: TrackedConnection) {
        connections.remove(connection)
        // At its limit libmicrohttpd listens again only at the start of the round after a close.
        requireRound()
    }
}
