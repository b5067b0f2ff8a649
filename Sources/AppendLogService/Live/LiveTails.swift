import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore

/// A request that waits until there is a record at an offset.
final class LongPoll {
    let exchange: Exchange
    let slot: LogSlot
    let from: RecordOffset
    /// Monotonic microseconds.
    let until: Int64

    init(_ exchange: Exchange, _ slot: LogSlot, from: RecordOffset, until: Int64) {
        self.exchange = exchange
        self.slot = slot
        self.from = from
        self.until = until
    }
}

/// What live tails may cost, as far as it is configured.
public struct LiveLimits: Sendable {
    /// Clients that follow logs with server-sent events, all together.
    public var subscribersMax = ServiceLimits.subscribersDefault
    /// Seconds without anything sent after which a live tail gets a comment.
    public var keepAliveSeconds = ServiceLimits.keepAliveSecondsDefault

    public init() {}
}

/// All who follow logs: live tails and long polls.
///
/// After commits there are *rounds*, at most every 10 ms, and so far apart that sending takes at most half of the loop's time: in a
/// round each followed log is looked at, its new events are encoded once, and those who wait are woken. The front end then lets
/// the woken streams send, some in each turn of the loop.
final class LiveTails {
    enum Reader {
        case log(LiveLog)
        case subscriber(LiveSubscriber)
        case records(RecordStream)
    }

    let store: LogStore
    /// The memory of events, shared and a subscriber's own.
    let memory = MemoryGauge()
    let subscribersMax: Int
    let keepAliveMicroseconds: Int64
    /// Monotonic microseconds at the last turn or tick.
    private(set) var now: Int64 = 0
    /// Answers a long poll whose wait is over.
    var endWait: (Exchange) -> Void = { _ in }

    private var logs: [LogSlot: LiveLog] = [:]
    private var subscribers: [LiveSubscriber] = []
    private var polls: [ObjectIdentifier: LongPoll] = [:]
    /// Where the next slice of a tick begins.
    private var cursor = 0
    private(set) var isDraining = false
    /// Streams of records under way.
    var recordStreamCount = 0

    /// Those whose read waits for the disk.
    private var readers: [ObjectIdentifier: Reader] = [:]
    /// Subscribers that wait for others' reads to end.
    private var parked: [LiveSubscriber] = []

    private let clock = SystemClock()
    private var hasNews = false
    /// Logs that have not had their turn in this round.
    private var unturned: [LiveLog] = []
    /// Woken streams of the last round have not all had their turn.
    private var isInRound = false
    private var roundStart: Int64 = 0
    /// What streams had taken to send when the round began.
    private var sendingAtStart: Int64 = 0
    private var nextRound: Int64 = 0

    init(_ store: LogStore, _ limits: LiveLimits, now: Int64) {
        self.store = store
        subscribersMax = limits.subscribersMax
        keepAliveMicroseconds = Int64(limits.keepAliveSeconds) * 1_000_000
        self.now = now
    }

    var subscriberCount: Int { subscribers.count }

    var pollCount: Int { polls.count }

    // MARK: The loop's calls

    /// Something became durable.
    func noteNews() {
        if !logs.isEmpty { hasNews = true }
    }

    /// Begins a round if it is time for one. `wokenStreamCount` streams have not had their turn yet; all together have taken
    /// `sendingMicroseconds` of the loop since its start.
    func turn(now: Int64, wokenStreamCount: Int, sendingMicroseconds: Int64) {
        self.now = now
        if isInRound {
            guard
                wokenStreamCount < ServiceLimits.liveRoundRestStreams
                    || now >= roundStart + ServiceLimits.liveRoundMicrosecondsMax
            else { return }
            isInRound = false
            let sending = sendingMicroseconds - sendingAtStart
            nextRound =
                roundStart + max(ServiceLimits.liveRoundMicroseconds, sending * ServiceLimits.liveRoundPerSending)
        }
        if unturned.isEmpty {
            guard hasNews, now >= nextRound else { return }
            hasNews = false
            unturned = Array(logs.values)
            roundStart = now
            sendingAtStart = sendingMicroseconds
        }
        let end = clock.monotonicMicroseconds + ServiceLimits.liveTurnMicroseconds
        while let log = unturned.last, clock.monotonicMicroseconds < end {
            unturned.removeLast()
            if log.turn(clock, until: end) { hasNews = true }
        }
        isInRound = unturned.isEmpty
    }

    /// Microseconds after which `turn` is to be called although nothing happens; nil if there is nothing to wait for.
    func wantedMicroseconds(now: Int64) -> Int64? {
        unturned.isEmpty ? hasNews ? max(0, nextRound - now) : nil : 0
    }

    /// Looks at deadlines and keep-alives. Called every 100 ms: ten calls look at every subscriber once.
    func tick(now: Int64) {
        self.now = now
        for poll in polls.values where poll.until <= now { end(poll) }
        let slice = (subscribers.count + ServiceLimits.liveTicksPerPass - 1) / ServiceLimits.liveTicksPerPass
        for _ in 0..<slice {
            if cursor >= subscribers.count { cursor = 0 }
            subscribers[cursor].tick(keepAliveMicroseconds: keepAliveMicroseconds)
            cursor += 1
        }
        // Closed, trimmed and deleted logs, and memory that has come free, are noticed here at the latest.
        noteNews()
        unpark()
    }

    /// Ends everything: the server stops.
    func drain() {
        isDraining = true
        for poll in polls.values { end(poll) }
        for subscriber in subscribers { subscriber.drain() }
    }

    // MARK: Long polls

    func add(_ poll: LongPoll) {
        polls[ObjectIdentifier(poll)] = poll
        log(poll.slot).add(poll)
        poll.exchange.attachment = poll
    }

    /// Answers it.
    func end(_ poll: LongPoll) {
        remove(poll)
        poll.exchange.attachment = nil
        endWait(poll.exchange)
    }

    func remove(_ poll: LongPoll) {
        guard polls.removeValue(forKey: ObjectIdentifier(poll)) != nil else { return }
        let log = log(poll.slot)
        log.remove(poll)
        forgetIfUnused(log)
    }

    // MARK: Subscribers

    /// Makes a subscriber; the caller gives it its stream.
    func subscribe(_ slot: LogSlot, from: RecordOffset) -> LiveSubscriber {
        let log = log(slot)
        let subscriber = LiveSubscriber(log, from: from, self)
        log.add(subscriber)
        subscriber.indexOfAll = subscribers.count
        subscribers.append(subscriber)
        return subscriber
    }

    func remove(_ subscriber: LiveSubscriber) {
        subscriber.log.remove(subscriber)
        let last = subscribers.removeLast()
        if last !== subscriber {
            last.indexOfAll = subscriber.indexOfAll
            subscribers[subscriber.indexOfAll] = last
        }
        forgetIfUnused(subscriber.log)
    }

    private func log(_ slot: LogSlot) -> LiveLog {
        if let log = logs[slot] { return log }
        let log = LiveLog(slot, self)
        logs[slot] = log
        return log
    }

    private func forgetIfUnused(_ log: LiveLog) {
        guard log.isUnused else { return }
        log.cancel()
        logs[log.slot] = nil
    }

    // MARK: Reads from the disk

    /// Bytes of events that a subscriber reads at once: less when many do not read what they were given.
    var sliceBytes: Int {
        let free = max(0, ServiceLimits.liveBytesMax - memory.bytes)
        return min(ServiceLimits.livePieceBytes, max(ServiceLimits.livePieceBytesMin, free / 64))
    }

    /// Whether a subscriber may read from the disk now; if not, it is woken when it may.
    func mayRead(_ subscriber: LiveSubscriber) -> Bool {
        if readers.count < ServiceLimits.liveReadsMax && memory.bytes < ServiceLimits.liveBytesMax { return true }
        parked.append(subscriber)
        return false
    }

    func wait(for read: RangeRead, _ reader: Reader) {
        readers[ObjectIdentifier(read)] = reader
    }

    func cancel(_ read: RangeRead) {
        readers[ObjectIdentifier(read)] = nil
        store.cancel(read)
    }

    /// Takes a disk read that has ended; false if nobody here waits for it.
    func readEnded(_ read: RangeRead) -> Bool {
        guard let reader = readers.removeValue(forKey: ObjectIdentifier(read)) else { return false }
        switch reader {
        case .log(let log): log.readEnded(read)
        case .subscriber(let subscriber): subscriber.readEnded()
        case .records(let stream):
            stream.readEnded()
            return true
        }
        hasNews = true
        unpark()
        return true
    }

    private func unpark() {
        guard !parked.isEmpty else { return }
        let waiting = parked
        parked = []
        for subscriber in waiting { subscriber.wake() }
    }
}
