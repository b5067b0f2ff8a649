import Testing

@testable import AppendLogService

@Suite struct RouterTests {
    /// A target, the route it must have, and what its parts must say.
    struct Row: CustomTestStringConvertible {
        let target: String
        let route: String
        var parts: [String] = []
        var query = ""
        var testDescription: String { target }
    }

    static let rows = [
        Row(target: "/v1/logs/a/records", route: "records", parts: ["a"]),
        Row(target: "/v1/logs/a/records?from=1", route: "records", parts: ["a"], query: "from=1"),
        Row(target: "/v1/logs/a/records?", route: "records", parts: ["a"]),
        Row(target: "/v1/logs/a/records?x?y", route: "records", parts: ["a"], query: "x?y"),
        Row(target: "/v1/logs//records", route: "records", parts: [""]),
        Row(target: "/v1/logs/a%2Fb/records", route: "records", parts: ["a%2Fb"]),
        Row(target: "/v1/logs/../records", route: "records", parts: [".."]),
        Row(target: "/v1/logs/a/records/7", route: "record", parts: ["a", "7"]),
        Row(target: "/v1/logs/a/records/", route: "record", parts: ["a", ""]),
        Row(target: "/v1/logs/a/records/7?q", route: "record", parts: ["a", "7"], query: "q"),
        Row(target: "/v1/logs/records", route: "log", parts: ["records"]),
        Row(target: "/v1/logs/a", route: "log", parts: ["a"]),
        Row(target: "/v1/logs/a?b/c", route: "log", parts: ["a"], query: "b/c"),
        Row(target: "/v1/logs/", route: "log", parts: [""]),
        Row(target: "/v1/logs/a/trim", route: "trim", parts: ["a"]),
        Row(target: "/v1/logs/a/close?x", route: "close", parts: ["a"], query: "x"),
        Row(target: "/v1/logs/a/trim/", route: "unknown"),
        Row(target: "/v1/logs/a/closed", route: "unknown"),
        Row(target: "/v1/batch", route: "batch"),
        Row(target: "/v1/batches", route: "unknown"),
        Row(target: "/v1/logs", route: "logs"),
        Row(target: "/v1/logs?prefix=a", route: "logs", query: "prefix=a"),
        Row(target: "/v1/stats", route: "stats"),
        Row(target: "/healthz", route: "health"),
        Row(target: "/readyz", route: "readiness"),
        Row(target: "/openapi.yaml", route: "contract"),
        Row(target: "http://host:1/healthz", route: "health"),
        Row(target: "HTTP://host/v1/logs/a?b", route: "log", parts: ["a"], query: "b"),
        Row(target: "http://host", route: "unknown"),
        Row(target: "http://", route: "unknown"),
        Row(target: "https://host/healthz", route: "unknown"),
        Row(target: "", route: "unknown"),
        Row(target: "/", route: "unknown"),
        Row(target: "*", route: "unknown"),
        Row(target: "?", route: "unknown"),
        Row(target: "healthz", route: "unknown"),
        Row(target: "/healthz/", route: "unknown"),
        Row(target: "/HEALTHZ", route: "unknown"),
        Row(target: "//healthz", route: "unknown"),
        Row(target: "/v1/logsx", route: "unknown"),
        Row(target: "/v1/statsx", route: "unknown"),
        Row(target: "/v1/stat", route: "unknown"),
        Row(target: "/v1", route: "unknown"),
        Row(target: "/v2/logs/a/records", route: "unknown"),
        Row(target: "/v1/logs/a/", route: "unknown"),
        Row(target: "/v1/logs/a/recordsx", route: "unknown"),
        Row(target: "/v1/logs/a/record", route: "unknown"),
        Row(target: "/v1/logs/a/records/7/", route: "unknown"),
        Row(target: "/v1/logs/a/records/7/x", route: "unknown"),
        Row(target: "/v1/logs/../stats", route: "unknown"),
    ]

    @Test(arguments: rows)
    func aTargetHasItsRouteAndItsParts(_ row: Row) {
        let bytes = Array(row.target.utf8)
        let routed = bytes.withUnsafeBytes { Router.route($0) }
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        let (name, parts) = describe(routed.route)
        #expect(name == row.route)
        #expect(parts.map(text) == row.parts)
        if routed.route != .unknown { #expect(text(routed.query) == row.query) }
    }

    @Test func everyPrefixOfATargetIsRoutedWithoutReadingBeyondIt() {
        for target in Self.rows.map({ Array($0.target.utf8) }) {
            for count in 0...target.count {
                // A buffer of exactly that size, so that the address sanitizer or a trap sees a read behind it.
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
                defer { buffer.deallocate() }
                buffer.copyBytes(from: target[..<count])
                let routed = Router.route(UnsafeRawBufferPointer(buffer))
                #expect(routed.query.upperBound == count)
            }
        }
    }

    @Test func everyRouteSaysWhatItTakes() {
        #expect("\(Route.records(log: 0..<1).allow)" == "GET, HEAD, POST")
        #expect("\(Route.log(0..<1).allow)" == "GET, HEAD, PUT, PATCH, DELETE")
        for route in [Route.trim(log: 0..<1), .close(log: 0..<1), .batch] {
            #expect("\(route.allow)" == "POST")
            #expect(!route.isRead)
        }
        for route in [
            Route.record(log: 0..<1, offset: 2..<3), .logs, .stats, .health, .readiness, .contract,
        ] {
            #expect("\(route.allow)" == "GET, HEAD")
            #expect(route.isRead)
        }
    }

    private func describe(_ route: Route) -> (String, [Range<Int>]) {
        switch route {
        case .records(let log): ("records", [log])
        case .record(let log, let offset): ("record", [log, offset])
        case .log(let log): ("log", [log])
        case .trim(let log): ("trim", [log])
        case .close(let log): ("close", [log])
        case .batch: ("batch", [])
        case .logs: ("logs", [])
        case .stats: ("stats", [])
        case .health: ("health", [])
        case .readiness: ("readiness", [])
        case .contract: ("contract", [])
        case .unknown: ("unknown", [])
        }
    }
}
