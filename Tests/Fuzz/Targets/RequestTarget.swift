@testable import AppendLogService
@testable import LogStore

/// Input: a request target. Routing, log names, offsets and both queries.
enum RequestTarget {
    static func run(_ target: [UInt8]) {
        let routed = withExactMemory(target) { Router.route($0) }
        require(routed.query.upperBound == target.count, "a query ends before its target")
        let path = target[..<max(0, routed.query.isEmpty ? target.count : routed.query.lowerBound - 1)]
        switch routed.route {
        case .records(let log):
            checkName(target, log)
            require(
                rebuilt(target, [log], "/records").elementsEqual(pathBehindAuthority(path)), "another path is routed")
        case .record(let log, let offset):
            checkName(target, log)
            let rest = "/records/" + String(decoding: target[offset], as: UTF8.self)
            require(!target[offset].contains(UInt8(ascii: "/")), "an offset has a slash")
            require(
                rebuilt(target, [log], rest).count >= pathBehindAuthority(path).count, "a path is longer than its parts"
            )
            checkNumber(Array(target[offset]))
        case .log(let log):
            checkName(target, log)
        default: break
        }
        checkQueries(Array(target[routed.query]))
        if target.first == UInt8(ascii: "/") { checkAbsoluteForm(target, routed) }
    }

    private static func pathBehindAuthority(_ path: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard path.first != UInt8(ascii: "/") else { return trimmed(path) }
        return trimmed(path.dropFirst("http://".utf8.count).drop { $0 != UInt8(ascii: "/") })
    }

    /// An empty query leaves its question mark behind.
    private static func trimmed(_ path: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        path.last == UInt8(ascii: "?") ? path.dropLast() : path
    }

    private static func rebuilt(_ target: [UInt8], _ log: [Range<Int>], _ rest: String) -> [UInt8] {
        Array("/v1/logs/".utf8) + target[log[0]] + Array(rest.utf8)
    }

    private static func checkName(_ target: [UInt8], _ log: Range<Int>) {
        let name = Array(target[log])
        require(!name.contains(UInt8(ascii: "/")) && !name.contains(UInt8(ascii: "?")), "a name reaches too far")
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-".utf8)
        let isValid =
            (1...128).contains(name.count) && name[0] != UInt8(ascii: ".") && name.allSatisfy(allowed.contains)
        require(withExactMemory(name, LogName.isValid) == isValid, "a name is judged wrongly")
    }

    private static func checkNumber(_ digits: [UInt8]) {
        let isDecimal = !digits.isEmpty && digits.allSatisfy { (0x30...0x39).contains($0) }
        let expected = isDecimal ? UInt64(String(decoding: digits, as: UTF8.self)) : nil
        require(DecimalNumber.parse(digits) == expected, "a number is read wrongly")
    }

    /// The same target behind an authority means the same.
    private static func checkAbsoluteForm(_ target: [UInt8], _ routed: RoutedTarget) {
        let authority = Array("hTTp://a:1".utf8)
        let absolute = withExactMemory(authority + target) { Router.route($0) }
        let shift = { (range: Range<Int>) in range.lowerBound + authority.count..<range.upperBound + authority.count }
        let expected: Route =
            switch routed.route {
            case .records(let log): .records(log: shift(log))
            case .record(let log, let offset): .record(log: shift(log), offset: shift(offset))
            case .log(let log): .log(shift(log))
            case .trim(let log): .trim(log: shift(log))
            case .close(let log): .close(log: shift(log))
            default: routed.route
            }
        require(
            absolute == RoutedTarget(route: expected, query: shift(routed.query)), "the absolute form means another")
    }

    private static func checkQueries(_ query: [UInt8]) {
        if let page = try? RecordPageQuery(query) {
            require((1...10_000).contains(page.limit) && (1...4_194_304).contains(page.bytes), "a page has no limit")
            let from = encoded(text(of: page.from))
            let again = try? RecordPageQuery(
                Array("from=\(from)&stream=\(page.isStreamed ? 1 : 0)\(page.kept)".utf8))
            require(again == page, "a query written again is read otherwise")
            requireRepeatRefused(query)
        }
        if let page = try? LogPageQuery(query, limitMax: 100) {
            require((1...100).contains(page.limit), "a page of logs has no limit")
            for name in [page.prefix, page.after ?? []] where !name.isEmpty {
                require(withExactMemory(name, LogName.isValid), "a query holds a name that no log can have")
            }
            requireRepeatRefused(query)
        }
        do throws(QueryError) { _ = try RecordPageQuery(query) } catch { require(!error.detail.isEmpty, "no reason") }
    }

    /// What `from` says.
    private static func text(of start: PageStart) -> String {
        switch start {
        case .offset(let offset): return "\(offset)"
        case .first: return "first"
        case .now: return "now"
        case .last(let count): return "-\(count)"
        case .time(let time):
            var writer = JSONWriter()
            writer.rawTime(time)
            return String(decoding: writer.bytes, as: UTF8.self)
        }
    }

    /// Naming a parameter again is never taken.
    private static func requireRepeatRefused(_ query: [UInt8]) {
        guard !query.isEmpty else { return }
        let twice = query + [UInt8(ascii: "&")] + query
        require((try? RecordPageQuery(twice)) == nil, "a repeated parameter is taken")
        require((try? LogPageQuery(twice, limitMax: 100)) == nil, "a repeated parameter is taken")
    }

    /// Each byte as %XX.
    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let digits = String(byte, radix: 16)
            return "%" + (digits.utf8.count == 1 ? "0" : "") + digits
        }.joined()
    }
}
