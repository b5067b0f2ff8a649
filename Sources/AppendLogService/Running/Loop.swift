import CLinux
import CommitLog
import HTTPFrontEnd
import LogStore
import Logging

/// The one thread that serves: it owns the store, the front end and the service, and sleeps in one place, the
/// write-ahead log's `wait`.
///
/// A turn: sleep → publish what became durable → go on with reads → let libmicrohttpd run (appends are staged, waiting
/// ones answered) → hand the filling batch to the disk if it is free.
final class Loop {
    /// How a run ended.
    enum Outcome: Equatable {
        /// Everything was answered and is durable.
        case drained
        /// The deadline passed with records that are not durable.
        case uncommitted(records: Int)
        case poisoned(PoisonCause)
    }

    /// What wakes the loop beside the disk.
    private enum Source {
        static let frontEnd = 1
        static let drain = 2
        static let streams = 3
    }

    let store: LogStore
    let frontEnd: HTTPFrontEnd
    private let service: Service
    private let logger: Logger
    private let drainDescriptor: Int32
    private let drainMicroseconds: Int64
    private let clock = SystemClock()
    private var events = LoopEvents()
    private var nextTick: Int64 = 0
    private var heapTrim = HeapTrim()
    /// Set once the server is being stopped.
    private var deadline: Int64?

    /// Opens the store and listens; where the address or the limits are refused the store is left alone. `drainDescriptor`
    /// is an eventfd that becomes readable when the server is to stop.
    init(_ configuration: ServerConfiguration, drainDescriptor: Int32, _ logger: Logger) throws {
        self.logger = logger
        self.drainDescriptor = drainDescriptor
        drainMicroseconds = Int64(configuration.drainDeadlineSeconds) * 1_000_000
        try configuration.http.check()
        let socket = try ListeningSocket(address: configuration.listen)
        store = try LogStore.open(configuration.store)
        service = Service(store, configuration.appendLimits, configuration.live, logger)
        frontEnd = try HTTPFrontEnd(
            socket: socket, address: configuration.listen, limits: configuration.http, handler: service)
        service.frontEnd = frontEnd
        store.wal.watch(frontEnd.epollDescriptor, source: Source.frontEnd)
        store.wal.watch(frontEnd.streamsDescriptor, source: Source.streams)
        store.wal.watch(drainDescriptor, source: Source.drain)
    }

    /// Serves until the server is told to stop, or the log is poisoned, and everything is answered.
    func run() -> Outcome {
        var timeout: Int64 = 0
        while !isDrained {
            store.wal.wait(timeoutMicroseconds: timeout, into: &events)
            takeEvents()
            let now = clock.monotonicMicroseconds
            let isTick = now >= nextTick
            if isTick { tick(now) }
            service.live.turn(
                now: now, wokenStreamCount: frontEnd.wokenStreamCount, sendingMicroseconds: frontEnd.sendingMicroseconds
            )
            if isTick || mustRunFrontEnd { frontEnd.run(nowMicroseconds: UInt64(now)) }
            // What it stages goes with this turn's batch.
            let upkeep = store.tick()
            let wanted = min(store.wal.turn() ?? .max, upkeep ?? .max)
            let wakes = min(wanted, service.live.wantedMicroseconds(now: now) ?? .max, max(0, nextTick - now))
            timeout = frontEnd.mustRunAgain || !service.pausedReads.isEmpty ? 0 : wakes
        }
        return close()
    }

    private var isDrained: Bool {
        guard let deadline else { return false }
        return frontEnd.isIdle || clock.monotonicMicroseconds >= deadline
    }

    private var mustRunFrontEnd: Bool {
        frontEnd.mustRunAgain || service.hasBusyAppends || events.durable != nil
            || events.sources.contains(Source.frontEnd) || events.sources.contains(Source.streams)
    }

    private func takeEvents() {
        if let batch = events.durable {
            store.publish(batch)
            service.live.noteNews()
        }
        if events.durable != nil || service.hasBusyAppends {
            service.hasBusyAppends = false
            frontEnd.resumeWaiting()
        }
        for read in events.reads { service.readEnded(number: read.number, result: read.result) }
        service.continueReading()
        for file in events.finishedFiles { note(file) }
        if events.sources.contains(Source.drain) {
            clearEvent(drainDescriptor)
            if deadline == nil { logger.info("stopping", metadata: ["open_requests": "\(frontEnd.openExchangeCount)"]) }
            beginDrain()
        }
        if let cause = store.wal.poisonCause, deadline == nil {
            logger.critical(
                "the write-ahead log is poisoned: nothing more is acknowledged, stopping",
                metadata: ["error": "\(cause)"])
            beginDrain()
        }
    }

    private func beginDrain() {
        guard deadline == nil else { return }
        deadline = clock.monotonicMicroseconds + drainMicroseconds
        service.isDraining = true
        service.live.drain()
        frontEnd.beginDrain()
        frontEnd.resumeWaiting()
    }

    /// Looks at deadlines, gives unused memory back, and lets appends that wait notice that the log is poisoned.
    private func tick(_ now: Int64) {
        frontEnd.tick(nowMicroseconds: UInt64(now))
        service.live.tick(now: now)
        if store.wal.poisonCause != nil { frontEnd.resumeWaiting() }
        let isCommitting = store.wal.pendingBytes > 0
        if heapTrim.isDue(connectionCount: frontEnd.connectionCount, isCommitting: isCommitting) { clinux_trim_heap() }
        nextTick = now + ServiceLimits.tickMicroseconds
    }

    private func note(_ file: FinishedFile) {
        guard let error = store.finished(file) else { return }
        let what =
            switch file.kind {
            case .checkpoint: "a checkpoint could not be written: the next start takes longer"
            case .index: "a segment's index could not be written: the next start takes longer"
            case .retired: "a segment that holds nothing any more could not be removed: tried again later"
            }
        logger.warning("\(what)", metadata: ["error": "\(error)"])
    }

    /// Makes everything staged durable, answers those who waited for it, and closes all connections.
    private func close() -> Outcome {
        service.isClosing = true
        let now = clock.monotonicMicroseconds
        let isDurable = store.close(
            deadlineMicroseconds: max(deadline ?? now, now + ServiceLimits.closeMicrosecondsMin))
        let pending = store.wal.pending
        frontEnd.resumeWaiting()
        frontEnd.run(nowMicroseconds: UInt64(clock.monotonicMicroseconds))
        frontEnd.stop()
        if let cause = store.wal.poisonCause { return .poisoned(cause) }
        return isDurable ? .drained : .uncommitted(records: pending.staged.records + pending.inFlight.records)
    }
}
