import Glibc

/// One request, from its request line to the last byte of its answer. Pooled: after that the object serves another
/// request, so nobody may keep it longer. Used only on the thread that runs the front end.
@safe public final class Exchange {
    /// Where the exchange is in its life. `requestCalled` and `requestEnded` make the moves.
    enum Phase {
        /// In the pool.
        case free
        /// The target is known, the headers are not all there.
        case requestLine
        /// The body goes into the buffer.
        case receiving
        /// The body is thrown away; the handler follows.
        case skipping
        /// The body is thrown away; the stored answer follows.
        case refusing
        /// Asked again in every run.
        case waiting
        /// Suspended after 2 ms of waiting; `resumeWaiting` ends it.
        case suspendedItself
        /// Suspended by the service; an answer ends it.
        case suspended
        /// Suspended; a stream sends the answer.
        case streaming
        /// The stream has ended: the next call of the handler ends the connection.
        case streamed
        /// The answer is libmicrohttpd's.
        case answering
        /// The client has gone; the service has not released it.
        case abandoned
    }

    // MARK: The request

    public internal(set) var method = HTTPMethod.other
    /// The size the client announced; nil without a Content-Length.
    public internal(set) var contentLength: UInt64?
    /// Which of the rarer headers the request has, and which of them more than once.
    public internal(set) var notedHeaders: NotedHeaders = []
    public internal(set) var repeatedHeaders: NotedHeaders = []
    /// True once the client has gone. `respond` then does nothing.
    public internal(set) var isClientGone = false

    // MARK: Free for the service; zero and nil when a request begins

    public var tag0: UInt64 = 0
    public var tag1: UInt64 = 0
    public var tag2: UInt64 = 0
    public var tag3: UInt64 = 0
    public var attachment: AnyObject?

    // MARK: The front end's

    private unowned(unsafe) let frontEnd: HTTPFrontEnd
    var phase = Phase.free
    /// Valid from the request line to the completed notification.
    var connection: ConnectionHandle?
    unowned(unsafe) var tracked: TrackedConnection?
    /// Given by the service, not yet libmicrohttpd's.
    var answer: HTTPResponse?
    /// Sends the answer.
    var stream: ResponseStream?
    /// The request came as HTTP/1.0.
    var isHTTP10 = false
    /// The client has gone while the exchange was suspended.
    var isLost = false
    /// It is suspended when it is asked next.
    var wantsSuspension = false
    var bodyBuffer = BodyBuffer()
    var bodyBytesMax = 0
    /// Bytes thrown away so far.
    var skippedBytes = 0
    /// This exchange's part of the front end's `receivingBytes`.
    var reservedBytes = 0
    /// This exchange's part of the front end's `answeringBytes`.
    var answerBytes = 0
    /// Clock at the first `.wait` or `.suspend`, in microseconds.
    var waitingSince: UInt64 = 0

    private let targetStart: UnsafeMutableRawPointer
    private let targetBytesMax: Int
    private var targetBytes = 0
    /// Where the target ended in libmicrohttpd's memory: the version begins one byte later.
    private var targetEndAddress: UInt = 0

    init(frontEnd: HTTPFrontEnd, targetBytesMax: Int) {
        unsafe self.frontEnd = frontEnd
        self.targetBytesMax = targetBytesMax
        unsafe targetStart = UnsafeMutableRawPointer.allocate(byteCount: targetBytesMax, alignment: 8)
    }

    deinit {
        unsafe targetStart.deallocate()
    }

    /// The raw request target: path and query as they were sent, still percent-encoded. Valid as long as the exchange.
    public var target: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: targetStart, count: targetBytes)
    }

    /// The whole body once `handle` is called; valid until `releaseBody` or the end of the exchange.
    public var body: UnsafeRawBufferPointer {
        unsafe bodyBuffer.bytes
    }

    /// The value of the first header of that name, without regard to case; nil if there is none or the client has
    /// gone. Valid until the answer is queued.
    public func header(_ name: StaticString) -> UnsafeRawBufferPointer? {
        unsafe connection?.header(name)
    }

    /// The values of all headers of that (lower-case) name, joined by commas; nil if there is none or the client has gone.
    public func combinedHeader(_ name: StaticString) -> [UInt8]? {
        connection?.combinedHeader(name)
    }

    /// Gives the answer; exactly once. From within a call of the handler, or, while the exchange waits, from
    /// anywhere on the thread that runs the front end: it is then sent by the next `run`.
    public func respond(_ response: consuming HTTPResponse) {
        if isClientGone { return }
        precondition(answer == nil, "an exchange is answered once")
        answerBytes = response.bodyBytes
        unsafe frontEnd.answeringBytes += response.bodyBytes
        switch phase {
        case .requestLine, .receiving, .skipping, .refusing:
            answer = consume response
        case .waiting:
            answer = consume response
            // This round may have asked the exchange already.
            unsafe frontEnd.requireRound()
        case .suspendedItself, .suspended:
            answer = consume response
            unsafe frontEnd.resume(self)
        case .free, .streaming, .streamed, .answering, .abandoned:
            preconditionFailure("an exchange is answered once, while it is open")
        }
    }

    /// Answers with the status and header lines of `head`, whose own body is ignored, and a body of unknown length that comes
    /// from the source; the connection ends with it. From within `handle` or `poll`, which then return `.streaming`, or while
    /// the exchange is suspended. Nil if the client has gone.
    @discardableResult
    public func stream(_ head: consuming HTTPResponse, from source: StreamSource) -> ResponseStream? {
        if isClientGone { return nil }
        precondition(answer == nil && stream == nil, "an exchange is answered once")
        return unsafe frontEnd.beginStream(self, head, source)
    }

    /// Gives the answer to a wrong request.
    public func respond(_ problem: Problem) {
        respond(problem.response())
    }

    /// Lets go of the body before the answer, so that others may be received meanwhile.
    public func releaseBody() {
        unsafe frontEnd.unreserve(self)
        bodyBuffer.reset()
    }

    /// Gives an abandoned exchange back to the pool. Exactly once, after `RequestHandler.abandoned`.
    public func release() {
        precondition(phase == .abandoned, "only an abandoned exchange is released")
        unsafe frontEnd.recycle(self)
    }
}

extension Exchange {
    /// Begins a request. `text` is NUL-terminated and changed by libmicrohttpd afterwards, so it is copied.
    func begin(target text: UnsafePointer<CChar>?, on connection: ConnectionHandle, _ tracked: TrackedConnection) {
        precondition(phase == .free, "a pooled exchange is free")
        phase = .requestLine
        self.connection = connection
        unsafe self.tracked = tracked
        let length = unsafe text.map { unsafe strlen($0) } ?? 0
        targetBytes = length
        targetEndAddress = UInt(bitPattern: text) + UInt(length)
        guard let text = unsafe text, length <= targetBytesMax else { return }
        unsafe memcpy(targetStart, text, length)
    }

    /// True when the target was longer than its limit; `target` must then not be read.
    var isTargetTooLong: Bool {
        targetBytes > targetBytesMax
    }

    /// True when the target is as libmicrohttpd saw it, without spaces and control characters, and one space from the method
    /// and the version. A NUL ends the text that libmicrohttpd hands on: then the next part does not begin right behind it.
    func isTargetValid(in line: RequestLine) -> Bool {
        let methodEnd = unsafe UInt(bitPattern: line.method) + UInt(strlen(line.method))
        guard targetBytes > 0, UInt(bitPattern: unsafe line.version) == targetEndAddress + 1,
            targetEndAddress == methodEnd + 1 + UInt(targetBytes)
        else { return false }
        for index in 0..<targetBytes {
            let byte = unsafe target[index]
            if byte <= 0x20 || byte == 0x7F { return false }
        }
        return true
    }

    /// Makes the exchange ready for another request.
    func reset() {
        phase = .free
        connection = nil
        unsafe tracked = nil
        answer = nil
        if stream != nil { stream = nil }
        isLost = false
        wantsSuspension = false
        contentLength = nil
        isClientGone = false
        skippedBytes = 0
        waitingSince = 0
        tag0 = 0
        tag1 = 0
        tag2 = 0
        tag3 = 0
        if attachment != nil { attachment = nil }
        bodyBuffer.reset()
    }
}
