import Glibc

/// What a stream sends next.
public enum StreamNext {
    /// These bytes.
    case piece(SharedBytes)
    /// Nothing for now; `wake` says when there is.
    case later
    /// Nothing any more: the answer ends as it should.
    case end
    /// Nothing any more, and the client shall see that the answer is not whole.
    case abort
}

/// How a stream ended.
public enum StreamEnding {
    /// All was handed to the kernel.
    case finished
    /// The client has gone, or was cut because it read nothing for the idle time, or the front end was stopped.
    case cut
}

/// Where the body of a streaming answer comes from. Subclass it; all calls come from the front end's thread.
open class StreamSource {
    public init() {}

    /// The next piece. Asked only when the one before is with the kernel: a client that does not read is not read for.
    open func next(_ stream: ResponseStream) -> StreamNext {
        preconditionFailure("a source overrides next")
    }

    /// The client says that it will send nothing more. It may want the rest of the answer, or have gone: only bytes sent to
    /// it tell. A source that has none for a while sends some.
    open func clientEndedSending(_ stream: ResponseStream) {}

    /// The last call, exactly once.
    open func ended(_ stream: ResponseStream, _ ending: StreamEnding) {}
}

/// An answer of unknown length that is under way, made by `Exchange.stream`.
///
/// libmicrohttpd has suspended the connection and does not touch the socket; the stream writes to it. (libmicrohttpd's own
/// way copies the body of each connection in chunks that fit its 8 KiB of memory, and needs four system calls to wake one that
/// waits. So one call sends a piece of any size from memory that all subscribers share.) The connection ends with the answer.
@safe public final class ResponseStream {
    private enum Phase {
        case open
        /// The last bytes are on their way.
        case ending
        case ended
    }

    /// The end of a chunked body.
    private static let lastChunk = Array("0\r\n\r\n".utf8)

    public let source: StreamSource
    let exchange: Exchange
    let descriptor: Int32
    private let frontEnd: HTTPFrontEnd
    private let isChunked: Bool
    private let isHeadOnly: Bool
    private var phase = Phase.open
    /// The header lines, and the end of a chunked body: what is sent before any further piece.
    private var text: [UInt8]
    /// The piece that is being sent.
    private var piece: SharedBytes?
    /// Bytes of `text` and of the piece that the kernel has.
    private var sentTextBytes = 0
    private var sentPieceBytes = 0
    /// The kernel takes no more for now.
    public private(set) var isBlocked = false
    /// In the front end's list of streams that have something to do.
    var isWoken = false
    /// The client has said that it sends no more.
    private var hasEndedSending = false

    init(_ exchange: Exchange, _ frontEnd: HTTPFrontEnd, descriptor: Int32, head: StreamHead, source: StreamSource) {
        self.exchange = exchange
        self.frontEnd = frontEnd
        self.descriptor = descriptor
        self.source = source
        isChunked = head.isChunked
        isHeadOnly = head.isHeadOnly
        text = head.text
    }

    /// The source has been told that it is over.
    var hasEnded: Bool { phase == .ended }

    /// Has the source asked, in this run of the front end or the next.
    public func wake() {
        guard phase == .open, !isBlocked, !isWoken else { return }
        frontEnd.wake(self)
    }

    /// Bounds what the kernel keeps for a client that does not read.
    public func limitSendBuffer(bytes: Int32) {
        var bytes = bytes
        // A refusal leaves the kernel's own bound.
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Ends the connection at once. The source hears of it in the next run.
    public func cut() {
        unsafe exchange.tracked?.cut()
    }

    /// Sends until the kernel takes no more, nothing is there, or this call's share is used up.
    func send() {
        guard phase != .ended, !isBlocked, sendText() else { return }
        var share = HTTPLimits.streamBytesPerTurn
        while phase == .open, let piece = piece ?? nextPiece() {
            let bytes = unsafe piece.sealed(asChunk: isChunked)
            guard let count = unsafe transmit(UnsafeRawBufferPointer(rebasing: bytes[sentPieceBytes...])) else {
                return
            }
            sentPieceBytes += count
            share -= count
            if sentPieceBytes == bytes.count {
                self.piece = nil
                sentPieceBytes = 0
            }
            if share <= 0 { return frontEnd.wake(self) }
        }
        if phase == .ending && sendText() { finish() }
    }

    /// Sends the rest of the text; true when all of it is sent.
    private func sendText() -> Bool {
        while sentTextBytes < text.count {
            let count = unsafe text.withUnsafeBytes {
                unsafe transmit(UnsafeRawBufferPointer(rebasing: $0[sentTextBytes...]))
            }
            guard let count else { return false }
            sentTextBytes += count
        }
        return true
    }

    /// Takes a change of the socket.
    func changed(isWritable: Bool, isHalfClosed: Bool, isOver: Bool) {
        if isOver { return end(.cut) }
        if isWritable && isBlocked {
            isBlocked = false
            unsafe exchange.tracked?.enter(.streaming, now: frontEnd.now)
            frontEnd.wake(self)
        }
        if isHalfClosed && !hasEndedSending {
            hasEndedSending = true
            source.clientEndedSending(self)
        }
    }

    /// Ends it without another byte.
    func end(_ ending: StreamEnding) {
        guard phase != .ended else { return }
        phase = .ended
        piece = nil
        frontEnd.streamEnded(self)
        source.ended(self, ending)
    }

    private func nextPiece() -> SharedBytes? {
        if isHeadOnly {
            phase = .ending
            return nil
        }
        switch source.next(self) {
        case .piece(let next):
            piece = next
            return next
        case .later:
            return nil
        case .end:
            phase = .ending
            text = isChunked ? Self.lastChunk : []
            sentTextBytes = 0
        case .abort:
            end(.cut)
        }
        return nil
    }

    /// One send(2): the bytes that the kernel took; nil if it takes no more now, or ever.
    private func transmit(_ bytes: UnsafeRawBufferPointer) -> Int? {
        let count = unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        if count >= 0 { return count }
        switch errno {
        case EINTR:
            return 0
        case EAGAIN, ENOMEM, ENOBUFS:
            isBlocked = true
            unsafe exchange.tracked?.beginBlocked(now: frontEnd.now)
        default:
            end(.cut)
        }
        return nil
    }

    /// All is with the kernel. What the client sent meanwhile is thrown away: closing over it would reset the connection, and
    /// the client might lose the end of its answer.
    private func finish() {
        unsafe withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 8) { buffer in
            for _ in 0..<HTTPLimits.unreadBlocksMax {
                if unsafe recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) <= 0 { break }
            }
        }
        shutdown(descriptor, Int32(SHUT_WR))
        end(.finished)
    }
}
