import CLinux
import Glibc

/// The streams under way: by socket for its events, and in the order in which they were woken.
struct StreamTable {
    /// An epoll of its own. Edges: a socket is reported once for each change.
    let descriptor: Int32
    /// By socket descriptor.
    private var byDescriptor: [ResponseStream?] = []
    private var woken: [ResponseStream] = []
    /// What lies before was taken.
    private var wokenHead = 0
    private(set) var count = 0

    init() {
        descriptor = clinux_epoll_open()
        precondition(descriptor >= 0, "no descriptor for an epoll: \(-descriptor)")
    }

    func close() {
        Glibc.close(descriptor)
    }

    mutating func add(_ stream: ResponseStream) {
        let place = Int(stream.descriptor)
        while byDescriptor.count <= place { byDescriptor.append(nil) }
        precondition(byDescriptor[place] == nil, "a socket has one stream")
        byDescriptor[place] = stream
        count += 1
        let code = clinux_epoll_add(descriptor, stream.descriptor)
        precondition(code == 0, "a socket cannot be watched: \(-code)")
    }

    mutating func remove(_ stream: ResponseStream) {
        byDescriptor[Int(stream.descriptor)] = nil
        count -= 1
        clinux_epoll_remove(descriptor, stream.descriptor)
    }

    subscript(descriptor: Int32) -> ResponseStream? {
        Int(descriptor) < byDescriptor.count ? byDescriptor[Int(descriptor)] : nil
    }

    mutating func wake(_ stream: ResponseStream) {
        stream.isWoken = true
        woken.append(stream)
    }

    /// The stream that was woken first.
    mutating func nextWoken() -> ResponseStream? {
        guard wokenHead < woken.count else {
            woken.removeAll(keepingCapacity: true)
            wokenHead = 0
            return nil
        }
        let stream = woken[wokenHead]
        wokenHead += 1
        stream.isWoken = false
        if wokenHead >= 4_096 {
            woken.removeFirst(wokenHead)
            wokenHead = 0
        }
        return stream
    }

    var wokenCount: Int {
        woken.count - wokenHead
    }
}

extension HTTPFrontEnd {
    /// Streams that have something to send and have not had their turn.
    public var wokenStreamCount: Int {
        streams.wokenCount
    }

    /// Answers that are streams, now.
    public var streamCount: Int {
        streams.count
    }

    func beginStream(_ exchange: Exchange, _ head: borrowing HTTPResponse, _ source: StreamSource) -> ResponseStream? {
        guard let tracked = unsafe exchange.tracked else { return nil }
        let text = StreamHead(head, isHTTP10: exchange.isHTTP10, isHeadOnly: exchange.method == .head)
        let stream = ResponseStream(exchange, self, descriptor: tracked.descriptor, head: text, source: source)
        exchange.stream = stream
        tracked.enter(.streaming, now: now)
        tracked.sendWithoutDelay()
        streams.add(stream)
        if exchange.isSuspended { move(exchange, to: .streaming) }
        wake(stream)
        return stream
    }

    func wake(_ stream: ResponseStream) {
        streams.wake(stream)
        mustRunAgain = true
    }

    /// The source has been told or will be. Called once for each stream.
    func streamEnded(_ stream: ResponseStream) {
        streams.remove(stream)
        let exchange = stream.exchange
        guard exchange.phase == .streaming else { return }
        // The next call of the handler lets libmicrohttpd close the connection.
        resume(exchange)
        move(exchange, to: .streamed)
    }

    /// The real clock, whatever the owner's says: how long streams have been sending. Or the processor time of this thread.
    private static func microseconds(_ clock: clockid_t = CLOCK_MONOTONIC) -> Int {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }

    func takeSocketEvents() {
        guard streams.count > 0 else { return }
        unsafe withUnsafeTemporaryAllocation(of: clinux_socket_event.self, capacity: HTTPLimits.socketEventsMax) {
            events in
            let count = Int(
                unsafe clinux_epoll_take(streams.descriptor, events.baseAddress, Int32(HTTPLimits.socketEventsMax)))
            for index in 0..<count {
                let event = unsafe events[index]
                streams[event.descriptor]?.changed(
                    isWritable: event.is_writable != 0, isHalfClosed: event.is_half_closed != 0,
                    isOver: event.is_over != 0)
            }
            if count == HTTPLimits.socketEventsMax { mayHaveSocketEvents = true }
        }
    }

    /// Lets the next woken streams send.
    func sendStreams() {
        // Only those that were woken before: one that has used up its share comes after all others, in the next run.
        var count = streams.wokenCount
        if count > 0 {
            let begin = Self.microseconds(CLOCK_THREAD_CPUTIME_ID)
            let end = Self.microseconds() + HTTPLimits.streamMicrosecondsPerRun
            repeat {
                streams.nextWoken()?.send()
                count -= 1
            } while count > 0 && Self.microseconds() < end
            sendingMicroseconds += Int64(Self.microseconds(CLOCK_THREAD_CPUTIME_ID) - begin)
        }
        if streams.wokenCount > 0 || mayHaveSocketEvents { requireRound() }
        mayHaveSocketEvents = false
    }
}
