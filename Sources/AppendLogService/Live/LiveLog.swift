import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore

/// A log that somebody follows: its subscribers, and the newest events in memory, encoded once for all of them.
///
/// - `next` is the offset behind the last event that was encoded. Nothing is encoded before it is durable.
/// - A subscriber is *joined* when it has all events before `next`, or before a piece that is still here.
/// - A piece goes when all who were joined have taken it, or when the pieces are too many bytes: who is that late is too slow.
final class LiveLog {
    private struct Piece {
        let bytes: SharedBytes
        /// Joined subscribers that have not taken it.
        var waitingCount: Int
    }

    let slot: LogSlot
    private unowned let tails: LiveTails
    private(set) var next: RecordOffset
    private(set) var subscribers: [LiveSubscriber] = []
    private(set) var polls: [LongPoll] = []
    private var pieces: [Piece] = []
    private var pieceBytes = 0
    /// The number of the first piece in `pieces`.
    private(set) var firstPiece = 0
    private(set) var joinedCount = 0
    /// Waits for the disk to encode what is next.
    private var read: (read: RangeRead, sink: EventSink)?
    /// A record cannot be read: nobody gets past it.
    private(set) var isUnreadable = false
    /// What was seen at the last round.
    private var seen: FollowedState

    init(_ slot: LogSlot, _ tails: LiveTails) {
        self.slot = slot
        self.tails = tails
        seen = tails.store.followedState(slot)
        next = seen.next
    }

    var isUnused: Bool { subscribers.isEmpty && polls.isEmpty }

    var state: FollowedState { tails.store.followedState(slot) }

    /// The number that the next piece gets.
    var endPiece: Int { firstPiece + pieces.count }

    // MARK: Subscribers

    func add(_ subscriber: LiveSubscriber) {
        subscriber.index = subscribers.count
        subscribers.append(subscriber)
    }

    func remove(_ subscriber: LiveSubscriber) {
        if case .joined(let piece) = subscriber.phase { leave(at: piece) }
        let last = subscribers.removeLast()
        if last !== subscriber {
            last.index = subscriber.index
            subscribers[subscriber.index] = last
        }
    }

    /// Whether a subscriber that has all before `offset` is joined from now on.
    func join(at offset: RecordOffset) -> Bool {
        // Without anybody to encode for, what is durable is skipped.
        if joinedCount == 0 && read == nil { next = state.next }
        guard offset == next else { return false }
        joinedCount += 1
        return true
    }

    /// Gives a joined subscriber a piece that is there.
    func take(_ number: Int) -> SharedBytes {
        let bytes = pieces[number - firstPiece].bytes
        pieces[number - firstPiece].waitingCount -= 1
        dropTaken()
        return bytes
    }

    /// A joined subscriber, whose next piece is `number`, is one no more.
    func leave(at number: Int) {
        joinedCount -= 1
        for index in max(0, number - firstPiece)..<max(pieces.count, number - firstPiece) {
            pieces[index].waitingCount -= 1
        }
        dropTaken()
    }

    private func dropTaken() {
        while let first = pieces.first, first.waitingCount == 0 { dropFirst() }
    }

    private func dropFirst() {
        pieceBytes -= pieces.removeFirst().bytes.count
        firstPiece += 1
    }

    // MARK: Long polls

    func add(_ poll: LongPoll) { polls.append(poll) }

    func remove(_ poll: LongPoll) { polls.removeAll { $0 === poll } }

    // MARK: Rounds

    /// Encodes what has become durable and wakes those who wait for it. True if there is more to do, also if it was `until`.
    func turn(_ clock: SystemClock, until end: Int64) -> Bool {
        let now = state
        for poll in polls where now.next > poll.from || now.isClosed || now.isDeleted {
            if clock.monotonicMicroseconds >= end { return true }
            tails.end(poll)
        }
        let hasChanged = now != seen
        seen = now
        let before = next
        if joinedCount > 0 && next < now.next && read == nil && !isUnreadable { encode(until: now.next) }
        if hasChanged || next != before || isUnreadable { wakeAll() }
        return joinedCount > 0 && next < now.next && read == nil && !isUnreadable
    }

    func wakeAll() {
        for subscriber in subscribers { subscriber.wake() }
    }

    private func encode(until: RecordOffset) {
        let sink = EventSink(from: next, until: until, bytesMax: ServiceLimits.livePieceBytes)
        advance(tails.store.beginRead(slot, from: next), sink)
    }

    /// The disk read that the encoding waits for has ended.
    func readEnded(_ ended: RangeRead) {
        guard let (read, sink) = read else { preconditionFailure("a disk read ended that no live log waits for") }
        self.read = nil
        advance(read, sink)
        wakeAll()
    }

    /// Nobody is here any more.
    func cancel() {
        if let read { tails.cancel(read.read) }
        read = nil
    }

    private func advance(_ read: RangeRead, _ sink: EventSink) {
        var progress = tails.store.step(read, into: sink)
        while progress == .paused && sink.output.bytes.isEmpty { progress = tails.store.step(read, into: sink) }
        if case .waiting = progress {
            self.read = (read, sink)
            tails.wait(for: read, .log(self))
            return
        }
        publish(sink)
        switch progress {
        case .finished, .waiting, .paused, .gone: break
        case .lost(let end), .trimmed(let end):
            var gap = JSONWriter()
            gap.gapEvent(from: next, first: end)
            add(gap.bytes, next: end)
        case .damaged, .failed: isUnreadable = true
        }
    }

    private func publish(_ sink: EventSink) {
        if sink.next > next { add(sink.output.bytes, next: sink.next) }
    }

    private func add(_ events: [UInt8], next end: RecordOffset) {
        next = end
        guard joinedCount > 0 else { return }
        let bytes = SharedBytes(copying: events, gauge: tails.memory)
        pieces.append(Piece(bytes: bytes, waitingCount: joinedCount))
        pieceBytes += bytes.count
        while pieces.count > 1
            && (pieceBytes > ServiceLimits.liveLogBytesMax || tails.memory.bytes > ServiceLimits.liveBytesMax)
        {
            dropFirst()
        }
    }
}
