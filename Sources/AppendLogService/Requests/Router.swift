import Glibc

/// What a request target asks for. The parts of the path are ranges of the target's raw bytes: nothing is decoded,
/// nothing is checked, nothing is copied.
enum Route: Equatable {
    /// `/v1/logs/{log}/records`
    case records(log: Range<Int>)
    /// `/v1/logs/{log}/records/{offset}`
    case record(log: Range<Int>, offset: Range<Int>)
    /// `/v1/logs/{log}`
    case log(Range<Int>)
    /// `/v1/logs/{log}/trim`
    case trim(log: Range<Int>)
    /// `/v1/logs/{log}/close`
    case close(log: Range<Int>)
    /// `/v1/batch`
    case batch
    /// `/v1/logs`
    case logs
    /// `/v1/stats`
    case stats
    /// `/healthz`
    case health
    /// `/readyz`
    case readiness
    /// `/openapi.yaml`
    case contract
    case unknown

    /// The part of the target that names a log; nil where there is none.
    var log: Range<Int>? {
        switch self {
        case .records(let log), .record(let log, _), .log(let log), .trim(let log), .close(let log): log
        case .logs, .batch, .stats, .health, .readiness, .contract, .unknown: nil
        }
    }

    /// Whether GET and HEAD are taken.
    var isRead: Bool {
        switch self {
        case .records, .record, .log, .logs, .stats, .health, .readiness, .contract: true
        case .trim, .close, .batch, .unknown: false
        }
    }

    /// The methods of the route, as `Allow` lists them (RFC 9110, 10.2.1).
    var allow: StaticString {
        switch self {
        case .records: "GET, HEAD, POST"
        case .log: "GET, HEAD, PUT, PATCH, DELETE"
        case .trim, .close, .batch: "POST"
        case .record, .logs, .stats, .health, .readiness, .contract, .unknown: "GET, HEAD"
        }
    }
}

/// A request target, taken apart.
struct RoutedTarget: Equatable {
    let route: Route
    /// What stands behind the first question mark; empty if there is none.
    let query: Range<Int>
}

/// Finds the route of a raw request target. Allocates nothing.
enum Router {
    /// Takes a target in origin form, or in absolute form, which every server must take (RFC 9112, 3.2.2).
    static func route(_ target: UnsafeRawBufferPointer) -> RoutedTarget {
        let pathStart = unsafe startOfPath(target)
        let pathEnd = unsafe index(of: UInt8(ascii: "?"), in: target, from: pathStart) ?? target.count
        let queryStart = min(pathEnd + 1, target.count)
        return unsafe RoutedTarget(route: route(target, path: pathStart..<pathEnd), query: queryStart..<target.count)
    }

    private static func route(_ target: UnsafeRawBufferPointer, path: Range<Int>) -> Route {
        let logsPrefix: StaticString = "/v1/logs/"
        if unsafe hasPrefix(target, path, logsPrefix) {
            return unsafe routeBelowLogs(target, path.lowerBound + logsPrefix.utf8CodeUnitCount..<path.upperBound)
        }
        if unsafe equal(target, path, "/v1/logs") { return .logs }
        if unsafe equal(target, path, "/v1/batch") { return .batch }
        if unsafe equal(target, path, "/v1/stats") { return .stats }
        if unsafe equal(target, path, "/healthz") { return .health }
        if unsafe equal(target, path, "/readyz") { return .readiness }
        if unsafe equal(target, path, "/openapi.yaml") { return .contract }
        return .unknown
    }

    /// `path` is what follows `/v1/logs/`.
    private static func routeBelowLogs(_ target: UnsafeRawBufferPointer, _ path: Range<Int>) -> Route {
        guard let nameEnd = unsafe index(of: UInt8(ascii: "/"), in: target, from: path.lowerBound, to: path.upperBound)
        else { return .log(path) }
        let log = path.lowerBound..<nameEnd
        let rest = nameEnd..<path.upperBound
        if unsafe equal(target, rest, "/records") { return .records(log: log) }
        if unsafe equal(target, rest, "/trim") { return .trim(log: log) }
        if unsafe equal(target, rest, "/close") { return .close(log: log) }
        let recordPrefix: StaticString = "/records/"
        guard unsafe hasPrefix(target, rest, recordPrefix) else { return .unknown }
        let offset = nameEnd + recordPrefix.utf8CodeUnitCount..<path.upperBound
        let hasMore =
            unsafe index(of: UInt8(ascii: "/"), in: target, from: offset.lowerBound, to: path.upperBound) != nil
        return hasMore ? .unknown : .record(log: log, offset: offset)
    }

    /// Where the path begins: at 0, or behind `http://authority`.
    private static func startOfPath(_ target: UnsafeRawBufferPointer) -> Int {
        let scheme: StaticString = "http://"
        let schemeBytes = scheme.utf8CodeUnitCount
        guard target.count > schemeBytes, unsafe strncasecmp(target.text, scheme.text, schemeBytes) == 0 else {
            return 0
        }
        return unsafe index(of: UInt8(ascii: "/"), in: target, from: schemeBytes) ?? target.count
    }

    private static func index(
        of byte: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int, to end: Int? = nil
    ) -> Int? {
        let end = end ?? bytes.count
        guard start < end, let first = bytes.baseAddress else { return nil }
        guard let found = unsafe memchr(first + start, Int32(byte), end - start) else { return nil }
        return unsafe UnsafeRawPointer(found) - first
    }

    private static func hasPrefix(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ prefix: StaticString) -> Bool
    {
        guard range.count >= prefix.utf8CodeUnitCount, let first = bytes.baseAddress else { return false }
        return unsafe memcmp(first + range.lowerBound, prefix.utf8Start, prefix.utf8CodeUnitCount) == 0
    }

    private static func equal(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
        unsafe range.count == text.utf8CodeUnitCount && hasPrefix(bytes, range, text)
    }
}

extension UnsafeRawBufferPointer {
    /// The first byte as C's string functions want it. The buffer is not empty.
    fileprivate var text: UnsafePointer<CChar> {
        unsafe baseAddress!.assumingMemoryBound(to: CChar.self)
    }
}

extension StaticString {
    /// The first byte as C's string functions want it.
    fileprivate var text: UnsafePointer<CChar> {
        unsafe UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
    }
}
