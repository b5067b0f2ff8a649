import HTTPFrontEnd
import LogFormat
import LogStore

/// A client that follows a log: it is given what it misses from the disk, a slice at a time and only as fast as it reads, and
/// is then *joined* to those who share the newest events in memory.
final class LiveSubscriber: StreamSource {
    enum Phase {
        /// Reads from the disk what comes before the shared events.
        case catchingUp
        /// A slice waits for the disk.
        case reading(RangeRead, EventSink)
        /// The next piece of the shared events.
        case joined(piece: Int)
        /// The end of the answer comes next, or a broken one.
        case leaving(StreamNext)
    }

    let log: LiveLog
    private unowned let tails: LiveTails
    private(set) var phase = Phase.catchingUp
    /// The offset behind what it was given, while it catches up.
    private var next: RecordOffset
    private(set) var stream: ResponseStream?
    /// Places in the log's and in all subscribers.
    var index = 0
    var indexOfAll = 0
    /// A text that goes out before anything else.
    private var text: [UInt8]? = EventText.retry
    /// A slice that came from the disk.
    private var slice: StreamNext?
    /// When it was given something last, in monotonic microseconds.
    private var sentAt: Int64
    private var wantsComment = false

    init(_ log: LiveLog, from: RecordOffset, _ tails: LiveTails) {
        self.log = log
        self.tails = tails
        next = from
        sentAt = tails.now
    }

    func begin(_ stream: ResponseStream) {
        self.stream = stream
        stream.limitSendBuffer(bytes: ServiceLimits.liveSendBufferBytes)
    }

    func wake() {
        stream?.wake()
    }

    /// Has a comment sent if nothing was for the time of a keep-alive.
    func tick(keepAliveMicroseconds: Int64) {
        guard tails.now - sentAt >= keepAliveMicroseconds else { return }
        wantsComment = true
        wake()
    }

    /// Ends the stream as the server stops; a client that does not read has to come again without a word.
    func drain() {
        leave(.end)
        text = EventText.draining
        if stream?.isBlocked == true { stream?.cut() } else { wake() }
    }

    // MARK: The stream's calls

    override func next(_ stream: ResponseStream) -> StreamNext {
        if let text {
            self.text = nil
            return send(text)
        }
        if let slice {
            self.slice = nil
            return slice
        }
        switch phase {
        case .leaving(let last): return last
        case .reading: return idle()
        case .joined(let piece): return nextShared(piece)
        case .catchingUp: return nextOfDisk()
        }
    }

    override func clientEndedSending(_ stream: ResponseStream) {
        // If it has gone, its kernel says so as soon as something is sent to it.
        wantsComment = true
        wake()
    }

    override func ended(_ stream: ResponseStream, _ ending: StreamEnding) {
        if case .reading(let read, _) = phase { tails.cancel(read) }
        tails.remove(self)
        self.stream = nil
    }

    // MARK: Shared events

    private func nextShared(_ piece: Int) -> StreamNext {
        if log.isUnreadable && piece >= log.endPiece { return leave(saying: EventText.unreadable, .abort) }
        guard piece >= log.firstPiece else { return leave(saying: EventText.tooSlow) }
        guard piece < log.endPiece else {
            let state = log.state
            return log.next < state.next ? idle() : endOfLog(state) ?? idle()
        }
        phase = .joined(piece: piece + 1)
        return send(log.take(piece))
    }

    /// What follows the last record, if no other can.
    private func endOfLog(_ state: FollowedState) -> StreamNext? {
        if state.isDeleted { return leave(saying: EventText.deleted) }
        return state.isClosed ? leave(saying: EventText.closed) : nil
    }

    // MARK: Catching up

    private func nextOfDisk() -> StreamNext {
        let state = log.state
        if state.isDeleted { return leave(saying: EventText.deleted) }
        if next < state.first {
            defer { next = state.first }
            return sendGap(until: state.first)
        }
        if log.join(at: next) {
            phase = .joined(piece: log.endPiece)
            return nextShared(log.endPiece)
        }
        // Behind the tail, or behind what is encoded: that comes.
        guard next < log.next else { return next < state.next ? idle() : endOfLog(state) ?? idle() }
        guard tails.mayRead(self) else { return idle() }
        let sink = EventSink(from: next, until: log.next, bytesMax: tails.sliceBytes)
        return advance(tails.store.beginRead(log.slot, from: next), sink)
    }

    /// The disk read that it waits for has ended.
    func readEnded() {
        guard case .reading(let read, let sink) = phase else {
            preconditionFailure("a disk read ended that no subscriber waits for")
        }
        phase = .catchingUp
        let slice = advance(read, sink)
        if case .piece = slice { self.slice = slice }
        wake()
    }

    private func advance(_ read: RangeRead, _ sink: EventSink) -> StreamNext {
        var progress = tails.store.step(read, into: sink)
        while progress == .paused && sink.output.bytes.isEmpty { progress = tails.store.step(read, into: sink) }
        switch progress {
        case .waiting:
            phase = .reading(read, sink)
            tails.wait(for: read, .subscriber(self))
            return idle()
        case .finished, .paused:
            next = sink.next
        case .gone:
            return endOfLog(log.state) ?? idle()
        case .lost(let end), .trimmed(let end):
            defer { next = end }
            return sendGap(until: end)
        case .damaged, .failed:
            // What lies before it was encoded is given first.
            if sink.output.bytes.isEmpty { return leave(saying: EventText.unreadable, .abort) }
            next = sink.next
        }
        return sink.output.bytes.isEmpty ? idle() : send(sink.output.bytes)
    }

    // MARK: Sending

    private func sendGap(until first: RecordOffset) -> StreamNext {
        var gap = JSONWriter()
        gap.gapEvent(from: next, first: first)
        return send(gap.bytes)
    }

    private func send(_ bytes: [UInt8]) -> StreamNext {
        send(SharedBytes(copying: bytes, gauge: tails.memory))
    }

    private func send(_ piece: SharedBytes) -> StreamNext {
        sentAt = tails.now
        wantsComment = false
        return .piece(piece)
    }

    /// Nothing for now, or a comment if it is time for one.
    private func idle() -> StreamNext {
        wantsComment ? send(EventText.keepAlive) : .later
    }

    private func leave(saying text: [UInt8], _ last: StreamNext = .end) -> StreamNext {
        leave(last)
        return send(text)
    }

    private func leave(_ last: StreamNext) {
        switch phase {
        case .joined(let piece): log.leave(at: piece)
        case .reading(let read, _): tails.cancel(read)
        case .catchingUp, .leaving: break
        }
        phase = .leaving(last)
    }
}
