import Glibc

/// A client on a raw, blocking socket. Reads give up after 10 s.
final class TestClient {
    /// One answer, split into its parts; header names in lower case.
    struct Response {
        var status = 0
        var headers: [String: String] = [:]
        var body: [UInt8] = []
        var text: String { String(decoding: body, as: UTF8.self) }
        /// The `code` of a problem.
        var code: String? {
            guard headers["content-type"] == "application/problem+json" else { return nil }
            return text.split(separator: "\"code\":\"").dropFirst().first?.split(separator: "\"").first.map(String.init)
        }
    }

    enum Failure: Error {
        case connectFailed(errno: Int32)
        case closedEarly(received: String)
        case timedOut(received: String)
        case malformed(String)
    }

    private(set) var descriptor: Int32
    private var received: [UInt8] = []

    init(port: UInt16, host: UInt32 = 0x7F00_0001) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = host.bigEndian
        let result = withUnsafeBytes(of: &address) { bytes in
            connect(descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard result == 0 else {
            let number = errno
            close(descriptor)
            descriptor = -1
            throw Failure.connectFailed(errno: number)
        }
        // With a timeout no call is restarted after a signal; a connect that was interrupted could not be repeated.
        var timeout = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit {
        disconnect()
    }

    func disconnect() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    /// Says that no more will be sent; answers can still be read.
    func endSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes with a reset instead of an orderly end.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        disconnect()
    }

    /// Sends all bytes. False when the server has closed.
    @discardableResult
    func send(_ bytes: some Collection<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = uninterrupted {
                bytes.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
                }
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool {
        send(text.utf8)
    }

    /// Sends a request with a body and Content-Length, or without either if `body` is nil.
    func request(_ method: String, _ target: String, body: String? = nil, headers: [String] = []) {
        send(Self.text(method, target, body: body, headers: headers))
    }

    static func text(_ method: String, _ target: String, body: String? = nil, headers: [String] = []) -> String {
        var lines = ["\(method) \(target) HTTP/1.1", "Host: test"] + headers
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
    }

    /// Reads one answer. `toHEAD`: it has no body whatever its Content-Length says.
    func readResponse(toHEAD: Bool = false) throws -> Response {
        var response = Response()
        let head = try readHead()
        let lines = head.split(separator: "\r\n", omittingEmptySubsequences: true)
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw Failure.malformed(head)
        }
        response.status = status
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw Failure.malformed(String(line)) }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            response.headers[line[..<colon].lowercased()] = String(value)
        }
        if toHEAD || status < 200 { return response }
        guard let length = response.headers["content-length"].flatMap({ Int($0) }) else {
            throw Failure.malformed(head)
        }
        while received.count < length { try readMore() }
        response.body = Array(received[..<length])
        received.removeFirst(length)
        return response
    }

    /// Reads the status line and the header lines of an answer; its body is read by `readChunk` or `readRest`.
    func readHeadText() throws -> String {
        try readHead()
    }

    /// Reads one chunk of a chunked body; empty at its end.
    func readChunk() throws -> [UInt8] {
        var end = received.firstIndex(of: 10)
        while end == nil {
            try readMore()
            end = received.firstIndex(of: 10)
        }
        guard let end, let bytes = Int(String(decoding: received[..<(end - 1)], as: UTF8.self), radix: 16) else {
            throw Failure.malformed(String(decoding: received.prefix(40), as: UTF8.self))
        }
        while received.count < end + 1 + bytes + 2 { try readMore() }
        let chunk = Array(received[(end + 1)..<(end + 1 + bytes)])
        received.removeFirst(end + 1 + bytes + 2)
        return chunk
    }

    /// Reads all until the server closes.
    func readRest() -> [UInt8] {
        while (try? readMore()) != nil {}
        defer { received = [] }
        return received
    }

    /// True when the server closes and nothing more comes; false when there is more, or nothing for 10 s.
    func readsEnd() -> Bool {
        guard received.isEmpty else { return false }
        var byte: UInt8 = 0
        let count = uninterrupted { recv(descriptor, &byte, 1, 0) }
        return count == 0 || (count < 0 && (errno == ECONNRESET || errno == EPIPE))
    }

    /// Reads whatever comes until the server closes, or nothing comes for 30 s.
    func discardRest() {
        while (try? readMore()) != nil {}
        received = []
    }

    /// True when nothing has come and the connection is open, at this moment.
    func hasNothingToRead() -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT | MSG_PEEK))
        return received.isEmpty && count < 0 && errno == EAGAIN
    }

    private func readHead() throws -> String {
        while true {
            if let end = endOfHead() {
                let head = String(decoding: received[..<end], as: UTF8.self)
                received.removeFirst(end)
                return head
            }
            try readMore()
        }
    }

    private func endOfHead() -> Int? {
        guard received.count >= 4 else { return nil }
        return (4...received.count).first { Array(received[($0 - 4)..<$0]) == [13, 10, 13, 10] }
    }

    private func readMore() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = uninterrupted { recv(descriptor, &buffer, buffer.count, 0) }
        let text = String(decoding: received.prefix(400), as: UTF8.self)
        if count == 0 || (count < 0 && errno != EAGAIN) { throw Failure.closedEarly(received: text) }
        if count < 0 { throw Failure.timedOut(received: text) }
        received.append(contentsOf: buffer[..<count])
    }
}

/// Repeats a call that a signal has interrupted.
private func uninterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
