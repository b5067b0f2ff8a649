import CMicroHTTPD

/// `struct MHD_Daemon *` with an external epoll loop: it does something only within `run`.
///
/// Owned by the front end, which calls `stop` exactly once.
@safe struct Daemon {
    private let pointer: OpaquePointer

    /// Starts it on a listening socket, which it closes at `stop`. `frontEnd` must outlive it.
    /// Returns nil if libmicrohttpd refuses; the socket is then closed too.
    init?(listening descriptor: Int32, limits: HTTPLimits, frontEnd: HTTPFrontEnd) {
        let context = unsafe Unmanaged.passUnretained(frontEnd).toOpaque()
        let completed: MHD_RequestCompletedCallback = unsafe Self.requestCompleted
        let connection: MHD_NotifyConnectionCallback = unsafe Self.connectionChanged
        let target: Self.TargetCallback = unsafe Self.targetRead
        let options: [MHD_OptionItem] = unsafe [
            Self.option(.LISTEN_SOCKET, Int(descriptor)),
            Self.option(.CONNECTION_LIMIT, limits.connectionsMax + limits.connectionsRefusedMax),
            Self.option(.CONNECTION_MEMORY_LIMIT, limits.connectionMemoryBytes),
            Self.option(.NOTIFY_COMPLETED, unsafeBitCast(completed, to: Int.self), context),
            Self.option(.NOTIFY_CONNECTION, unsafeBitCast(connection, to: Int.self), context),
            Self.option(.URI_LOG_CALLBACK, unsafeBitCast(target, to: Int.self), context),
            Self.option(.END, 0),
        ]
        let flags = MHD_USE_EPOLL.rawValue | MHD_ALLOW_SUSPEND_RESUME.rawValue
        let started = unsafe options.withUnsafeBufferPointer { items in
            unsafe withVaList([MHD_OPTION.ARRAY.rawValue, items.baseAddress!, MHD_OPTION.END.rawValue]) { list in
                unsafe MHD_start_daemon_va(flags, 0, nil, nil, Self.requestCalled, context, list)
            }
        }
        guard let started = unsafe started else { return nil }
        unsafe pointer = unsafe started
    }

    /// Readable when libmicrohttpd has something to do.
    var epollDescriptor: Int32 {
        unsafe frontend_epoll_descriptor(pointer)
    }

    /// One round: accepts, reads, calls handlers, writes; never blocks.
    func run() {
        unsafe MHD_run(pointer)
    }

    /// True when some connection can go on without a new event.
    var hasWorkLeft: Bool {
        var milliseconds: UInt64 = 0
        return unsafe MHD_get_timeout(pointer, &milliseconds) == .YES && milliseconds == 0
    }

    /// Stops listening. The listening socket is the caller's from now on.
    func quiesce() -> Int32 {
        unsafe MHD_quiesce_daemon(pointer)
    }

    /// Closes every connection and frees everything. No connection may be suspended.
    func stop() {
        unsafe MHD_stop_daemon(pointer)
    }
}

// The callbacks: they decode their arguments, call one method of the front end, and encode the answer.
extension Daemon {
    /// libmicrohttpd has no name for this type. What it returns becomes the request's context.
    private typealias TargetCallback =
        @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, OpaquePointer?) -> UnsafeMutableRawPointer?

    private static func option(
        _ option: MHD_OPTION, _ value: Int, _ pointer: UnsafeMutableRawPointer? = nil
    ) -> MHD_OptionItem {
        unsafe MHD_OptionItem(option: option, value: value, ptr_value: pointer)
    }

    /// Borrows the object behind a context pointer, which the front end keeps alive.
    @inline(__always)
    private static func object<Object: AnyObject>(_ type: Object.Type, _ pointer: UnsafeMutableRawPointer?) -> Object {
        unsafe Unmanaged<Object>.fromOpaque(pointer!).takeUnretainedValue()
    }

    private static let targetRead: TargetCallback = { context, target, connection in
        let frontEnd = unsafe object(HTTPFrontEnd.self, context)
        let exchange = unsafe frontEnd.requestBegan(target: target, on: ConnectionHandle(connection!))
        return unsafe Unmanaged.passUnretained(exchange).toOpaque()
    }

    private static let requestCalled: MHD_AccessHandlerCallback = {
        context, connection, _, method, version, data, dataBytes, request in
        let frontEnd = unsafe object(HTTPFrontEnd.self, context)
        let exchange = unsafe object(Exchange.self, request!.pointee)
        let bytes = unsafe UnsafeRawBufferPointer(start: data, count: dataBytes!.pointee)
        unsafe dataBytes!.pointee = 0
        let line = unsafe RequestLine(method: method!, version: version!)
        return unsafe frontEnd.requestCalled(exchange, line: line, data: bytes) ? .YES : .NO
    }

    private static let requestCompleted: MHD_RequestCompletedCallback = { context, _, request, _ in
        guard let pointer = unsafe request!.pointee else { return }
        unsafe object(HTTPFrontEnd.self, context).requestEnded(object(Exchange.self, pointer))
    }

    private static let connectionChanged: MHD_NotifyConnectionCallback = { context, connection, socket, change in
        let frontEnd = unsafe object(HTTPFrontEnd.self, context)
        switch change {
        case .CONNECTION_NOTIFY_STARTED:
            let tracked = unsafe frontEnd.connectionStarted(ConnectionHandle(connection!))
            unsafe socket!.pointee = Unmanaged.passUnretained(tracked).toOpaque()
        case .CONNECTION_NOTIFY_CLOSED:
            unsafe frontEnd.connectionClosed(object(TrackedConnection.self, socket!.pointee))
        @unknown default:
            break
        }
    }
}
