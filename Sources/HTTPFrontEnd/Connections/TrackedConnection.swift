import CLinux
import Glibc

/// What the front end knows of one connection, from its started to its closed notification.
final class TrackedConnection {
    /// What the connection is doing; each phase has its own deadline.
    enum Phase {
        /// Nothing has arrived since it was accepted.
        case accepted
        /// Between two requests.
        case idle
        /// The request line is there, the headers are not.
        case header
        /// The body is being received or thrown away.
        case body
        /// The service has the request: never cut.
        case handling
        /// The answer is being read by the client.
        case answering
        /// The answer is a stream; cut only while it is blocked.
        case streaming
    }

    /// The socket; libmicrohttpd closes it after the closed notification.
    let descriptor: Int32
    /// Above the limit: gets a 503.
    let isSurplus: Bool
    /// Place in the table.
    var index = 0
    private(set) var phase = Phase.accepted
    /// Clock at the beginning of the phase, in microseconds.
    private var since: UInt64
    /// Bytes that earn the phase more time: of the body received so far, or of the answer.
    var bytes: UInt64 = 0
    /// The request that the service has, or a stream answers.
    unowned(unsafe) var exchange: Exchange?
    /// A stream has bytes that the kernel does not take.
    private var isBlocked = false
    /// Bytes that the client had not acknowledged when that was looked at last.
    private var unsentBytes: Int32 = 0
    /// `shutdown` was called; the closed notification will come.
    private var isCut = false

    init(descriptor: Int32, isSurplus: Bool, now: UInt64) {
        self.descriptor = descriptor
        self.isSurplus = isSurplus
        since = now
    }

    /// Begins a phase.
    func enter(_ phase: Phase, now: UInt64, bytes: UInt64 = 0) {
        self.phase = phase
        self.bytes = bytes
        since = now
        isBlocked = false
    }

    /// The kernel takes no more of a stream until the client reads.
    func beginBlocked(now: UInt64) {
        enter(.streaming, now: now)
        isBlocked = true
        unsentBytes = clinux_unsent_bytes(descriptor)
    }

    /// Ends both directions, after what was already sent; libmicrohttpd then sees the end of the connection and closes
    /// it.
    func cut() {
        guard !isCut else { return }
        isCut = true
        // ENOTCONN: the client was faster; the closed notification is on its way.
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Has the kernel send what is written at once, whatever libmicrohttpd told it before.
    func sendWithoutDelay() {
        var on: Int32 = 1
        var off: Int32 = 0
        let bytes = socklen_t(MemoryLayout<Int32>.size)
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CORK, &off, bytes)
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, bytes)
    }

    /// True when no byte of a request is known.
    var isBetweenRequests: Bool {
        phase == .idle || phase == .accepted
    }

    /// True when the kernel holds bytes that libmicrohttpd has not read.
    var hasUnreadBytes: Bool {
        var byte: UInt8 = 0
        return unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) > 0
    }

    /// True when the client has ended a connection from which a request, or the rest of one, is expected.
    ///
    /// libmicrohttpd sees such an end at once, except when it came together with the last bytes: it takes a short read
    /// for "nothing left" and, polled by edges, is never told again. One system call, so only where nothing has
    /// happened for a second.
    func isLeftByClient(now: UInt64) -> Bool {
        switch phase {
        case .handling, .answering, .streaming:
            return false
        case .accepted, .idle, .header, .body:
            guard now >= since + 1_000_000 else { return false }
            var byte: UInt8 = 0
            return unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) == 0
        }
    }

    /// True when the connection was reset, or both sides have ended it. A client that has only ended its own side (which is
    /// all that is seen of one that has closed, until something is sent to it) may still want its answer.
    var isOver: Bool {
        var descriptors = pollfd(fd: descriptor, events: 0, revents: 0)
        return unsafe poll(&descriptors, 1, 0) > 0 && Int32(descriptors.revents) & (POLLHUP | POLLERR) != 0
    }

    /// A blocked client that reads slowly empties the kernel's buffer long before it takes more: it gets more time.
    private func hasReadSomething(now: UInt64) -> Bool {
        let unsent = clinux_unsent_bytes(descriptor)
        defer { unsentBytes = unsent }
        guard unsent != unsentBytes else { return false }
        since = now
        return true
    }

    /// True when the phase has lasted longer than it may.
    func isOverdue(now: UInt64, limits: HTTPLimits) -> Bool {
        let seconds: Int
        switch phase {
        case .accepted, .header:
            seconds = limits.headerDeadlineSeconds
        case .idle:
            seconds = limits.idleTimeoutSeconds
        case .body:
            seconds = limits.bodyDeadlineSeconds + Int(bytes) / limits.bodyRateBytesMin
        case .answering:
            seconds = limits.idleTimeoutSeconds + Int(bytes) / limits.bodyRateBytesMin
        case .streaming where isBlocked:
            seconds = limits.idleTimeoutSeconds
        case .handling, .streaming:
            return false
        }
        let isOver = now > since && now - since > UInt64(seconds) * 1_000_000
        return isOver && !(phase == .streaming && hasReadSomething(now: now))
    }
}
