import CMicroHTTPD

/// `struct MHD_Connection *`: one client's connection, owned by libmicrohttpd.
///
/// Valid from its started to its closed notification. Used only on the loop's thread.
@safe struct ConnectionHandle {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) {
        unsafe self.pointer = unsafe pointer
    }

    /// The socket, for `shutdown`.
    var descriptor: Int32 {
        unsafe frontend_socket_descriptor(pointer)
    }

    /// What the started notification left with the connection.
    var context: UnsafeMutableRawPointer? {
        unsafe frontend_socket_context(pointer)
    }

    /// Takes the connection out of libmicrohttpd's lists. Only from within a handler call.
    func suspend() {
        unsafe MHD_suspend_connection(pointer)
    }

    /// Puts it back; the next round calls the handler again.
    func resume() {
        unsafe MHD_resume_connection(pointer)
    }

    /// Queues an answer; libmicrohttpd takes its own reference. Only from within the first or the final handler
    /// call. False when libmicrohttpd refuses it.
    func queue(_ answer: borrowing HTTPResponse) -> Bool {
        unsafe MHD_queue_response(pointer, UInt32(answer.status), answer.pointer) == .YES
    }

    /// The value of the first header of that name, without regard to case. Valid while the request lasts.
    func header(_ name: StaticString) -> UnsafeRawBufferPointer? {
        var value: UnsafePointer<CChar>?
        var byteCount = 0
        let key = unsafe UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
        let found = unsafe MHD_lookup_connection_value_n(
            pointer, .HEADER_KIND, key, name.utf8CodeUnitCount, &value, &byteCount)
        guard found == .YES, let value = unsafe value else { return nil }
        return unsafe UnsafeRawBufferPointer(start: value, count: byteCount)
    }

    /// Reads all header lines once, in their order.
    func summarizeHeaders(behind line: RequestLine) -> HeaderSummary {
        var walk = HeaderWalk(behind: line)
        let note: MHD_KeyValueIteratorN = { context, _, name, nameBytes, value, valueBytes in
            let walk = unsafe context!.assumingMemoryBound(to: HeaderWalk.self)
            unsafe walk.pointee.note(
                name: UnsafeRawBufferPointer(start: name, count: nameBytes),
                value: UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : valueBytes))
            return .YES
        }
        unsafe withUnsafeMutablePointer(to: &walk) { pointer in
            _ = unsafe MHD_get_connection_values_n(self.pointer, .HEADER_KIND, note, pointer)
        }
        return unsafe walk.finish(headEnd: UnsafeRawPointer(line.method) + frontend_head_bytes(pointer))
    }

    /// The values of all headers of a name, joined by commas (RFC 9110, 5.3); nil if there is none.
    func combinedHeader(_ name: StaticString) -> [UInt8]? {
        var combined = CombinedHeader(name: name)
        let note: MHD_KeyValueIteratorN = { context, _, name, nameBytes, value, valueBytes in
            let combined = unsafe context!.assumingMemoryBound(to: CombinedHeader.self)
            unsafe combined.pointee.note(
                name: UnsafeRawBufferPointer(start: name, count: nameBytes),
                value: UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : valueBytes))
            return .YES
        }
        unsafe withUnsafeMutablePointer(to: &combined) { pointer in
            _ = unsafe MHD_get_connection_values_n(self.pointer, .HEADER_KIND, note, pointer)
        }
        return combined.value
    }
}

/// Where an answer's body comes from.
enum ResponseMemory {
    /// libmicrohttpd copies the bytes.
    case copied
    /// The bytes stay where they are for the life of the process.
    case persistent
    /// The bytes were allocated by malloc; libmicrohttpd frees them.
    case adopted
}

/// The C side of an answer: `struct MHD_Response *`, reference counted by libmicrohttpd.
enum ResponseHandle {
    /// Makes a response; the caller owns one reference. Traps when there is no memory.
    static func make(body: UnsafeRawBufferPointer, memory: ResponseMemory) -> OpaquePointer {
        let mode: MHD_ResponseMemoryMode =
            switch memory {
            case .copied: .RESPMEM_MUST_COPY
            case .persistent: .RESPMEM_PERSISTENT
            case .adopted: .RESPMEM_MUST_FREE
            }
        let start = unsafe UnsafeMutableRawPointer(mutating: body.baseAddress)
        guard let response = unsafe MHD_create_response_from_buffer(body.count, start, mode) else {
            preconditionFailure("no memory for an answer of \(body.count) bytes")
        }
        return unsafe response
    }

    /// Adds a header line; both texts end with a NUL. Traps on an empty value and on a line break in it.
    static func add(_ name: UnsafeRawPointer, _ value: UnsafeRawPointer, to response: OpaquePointer) {
        let added = unsafe MHD_add_response_header(
            response, name.assumingMemoryBound(to: CChar.self), value.assumingMemoryBound(to: CChar.self))
        precondition(added == .YES, "a header value is not empty and has no line break")
    }

    /// The phrase behind a status code.
    static func reason(of status: Int) -> String {
        unsafe String(cString: MHD_get_reason_phrase_for(UInt32(status)))
    }

    /// Writes the header lines that were added, in their order.
    static func appendHeaders(of response: OpaquePointer, to lines: inout HeaderLines) {
        let note: MHD_KeyValueIterator = { context, _, name, value in
            let lines = unsafe context!.assumingMemoryBound(to: HeaderLines.self)
            unsafe lines.pointee.append("\(String(cString: name!)): \(String(cString: value!))\r\n")
            return .YES
        }
        unsafe withUnsafeMutablePointer(to: &lines) { lines in
            _ = unsafe MHD_get_response_headers(response, note, lines)
        }
    }

    /// Gives the caller's reference back.
    static func destroy(_ response: OpaquePointer) {
        unsafe MHD_destroy_response(response)
    }
}
