import Glibc

/// Why the front end could not start.
public enum HTTPFrontEndError: Error, Equatable, CustomStringConvertible {
    case invalidAddress(String)
    case listenFailed(address: String, operation: String, errno: Int32)
    case daemonRefused
    case invalidLimit(String)

    public var description: String {
        switch self {
        case .invalidAddress(let text):
            "cannot listen on '\(text)': it must be an IPv4 address or a bracketed IPv6 address, a colon and a port, "
                + "as in 127.0.0.1:4437 or [::1]:4437"
        case .listenFailed(let address, let operation, let number):
            unsafe "cannot listen on \(address): \(operation): \(String(cString: strerror(number)))"
        case .daemonRefused:
            "libmicrohttpd did not start: out of memory or of file descriptors, or it was built without epoll"
        case .invalidLimit(let fault):
            "invalid limit: \(fault)"
        }
    }
}

/// A bound, non-blocking TCP socket, which refuses connections until it listens. Closed at the end of its life unless its
/// descriptor was taken.
public struct ListeningSocket: ~Copyable {
    private let descriptor: Int32
    /// The port that was bound; the kernel's choice if 0 was asked for.
    let port: UInt16

    /// Binds `address`, a literal "host:port"; IPv6 hosts stand in brackets. Fails where somebody listens already.
    public init(address: String) throws(HTTPFrontEndError) {
        let (host, wantedPort) = try Self.split(address)
        let isIPv6 = host.hasPrefix("[")
        let socketDescriptor = socket(
            isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0
        )
        guard socketDescriptor >= 0 else {
            throw .listenFailed(address: address, operation: "socket", errno: errno)
        }
        do throws(HTTPFrontEndError) {
            Self.enable(SO_REUSEADDR, level: SOL_SOCKET, on: socketDescriptor)
            // Inherited by every accepted socket: an answer leaves at once, in one segment.
            Self.enable(TCP_NODELAY, level: Int32(IPPROTO_TCP), on: socketDescriptor)
            if isIPv6 {
                try Self.bindIPv6(socketDescriptor, host: String(host.dropFirst().dropLast()), wantedPort, address)
            } else {
                try Self.bindIPv4(socketDescriptor, host: host, wantedPort, address)
            }
            port = try Self.boundPort(of: socketDescriptor, address)
        } catch {
            close(socketDescriptor)
            throw error
        }
        descriptor = socketDescriptor
    }

    deinit {
        close(descriptor)
    }

    /// Begins to listen on `address`, which was bound.
    func listen(_ address: String) throws(HTTPFrontEndError) {
        guard Glibc.listen(descriptor, HTTPLimits.backlogConnectionsMax) == 0 else {
            throw .listenFailed(address: address, operation: "listen", errno: errno)
        }
    }

    /// Hands the descriptor over; whoever takes it closes it.
    consuming func take() -> Int32 {
        let taken = descriptor
        discard self
        return taken
    }

    private static func split(_ address: String) throws(HTTPFrontEndError) -> (host: String, port: UInt16) {
        guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else {
            throw .invalidAddress(address)
        }
        let host = String(address[..<colon])
        guard host.hasPrefix("[") == host.hasSuffix("]") else { throw .invalidAddress(address) }
        return (host, port)
    }

    private static func enable(_ option: Int32, level: Int32, on descriptor: Int32) {
        var one: Int32 = 1
        // Fails only for a wrong descriptor or option; the socket works without either.
        unsafe setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func bindIPv4(
        _ descriptor: Int32, host: String, _ port: UInt16, _ address: String
    ) throws(HTTPFrontEndError) {
        var storage = sockaddr_in()
        storage.sin_family = sa_family_t(AF_INET)
        storage.sin_port = port.bigEndian
        guard unsafe inet_pton(AF_INET, host, &storage.sin_addr) == 1 else { throw .invalidAddress(address) }
        let result = unsafe withUnsafeBytes(of: &storage) { bytes in
            unsafe bind(
                descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard result == 0 else { throw .listenFailed(address: address, operation: "bind", errno: errno) }
    }

    private static func bindIPv6(
        _ descriptor: Int32, host: String, _ port: UInt16, _ address: String
    ) throws(HTTPFrontEndError) {
        var storage = sockaddr_in6()
        storage.sin6_family = sa_family_t(AF_INET6)
        storage.sin6_port = port.bigEndian
        guard unsafe inet_pton(AF_INET6, host, &storage.sin6_addr) == 1 else { throw .invalidAddress(address) }
        let result = unsafe withUnsafeBytes(of: &storage) { bytes in
            unsafe bind(
                descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard result == 0 else { throw .listenFailed(address: address, operation: "bind", errno: errno) }
    }

    private static func boundPort(of descriptor: Int32, _ address: String) throws(HTTPFrontEndError) -> UInt16 {
        var storage = sockaddr_in6()
        var byteCount = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let result = unsafe withUnsafeMutableBytes(of: &storage) { bytes in
            unsafe getsockname(
                descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), &byteCount)
        }
        guard result == 0 else { throw .listenFailed(address: address, operation: "getsockname", errno: errno) }
        // The port has the same place in sockaddr_in and sockaddr_in6.
        return UInt16(bigEndian: storage.sin6_port)
    }
}
