@testable import AppendLogService
@testable import HTTPFrontEnd
@testable import LogStore

/// Input: header lines as libmicrohttpd hands them on, separated by LF, each cut at its first colon. It refuses a
/// Content-Length that is not all digits by itself.
enum HeadersTarget {
    static func run(_ input: [UInt8]) {
        let lines = input.split(separator: 0x0A, maxSplits: 64).map(Array.init)
        let summary = summarized(lines)
        let shouted = summarized(lines.map { $0.map { (0x61...0x7A).contains($0) ? $0 & 0xDF : $0 } })
        require("\(summary)" == "\(shouted)", "the case of letters makes a difference")
        require(
            summary.contentLengthCount <= lines.count && summary.hostCount <= lines.count, "lines are counted wrongly")
        for line in lines {
            checkContentType(line)
            checkAccept(line)
        }
    }

    private static func summarized(_ lines: [[UInt8]]) -> HeaderSummary {
        var summary = HeaderSummary()
        for line in lines {
            let name = line.prefix { $0 != UInt8(ascii: ":") }
            let value = line.dropFirst(name.count + 1).drop { $0 == 0x20 }
            let isLength = String(decoding: name, as: UTF8.self).lowercased() == "content-length"
            if isLength, value.isEmpty || !value.allSatisfy({ (0x30...0x39).contains($0) }) { continue }
            withExactMemory(Array(name) + Array(value)) { memory in
                summary.note(
                    name: UnsafeRawBufferPointer(rebasing: memory[..<name.count]),
                    value: UnsafeRawBufferPointer(rebasing: memory[name.count...]))
            }
        }
        return summary
    }

    private static func checkContentType(_ value: [UInt8]) {
        let encoding = withExactMemory(value) { MediaType.encoding(ofContentType: $0) }
        let type = String(decoding: value, as: UTF8.self).prefix { $0 != ";" }.lowercased()
        let isKnown = type.hasPrefix("application/x-ndjson") || type.hasPrefix("application/vnd.appendlog.records")
        require(isKnown || encoding == .whole, "a body of another type is cut into records")
    }

    private static func checkAccept(_ value: [UInt8]) {
        let form = PageForm.accepted(by: value)
        let spaced = value.flatMap { $0 == UInt8(ascii: ",") ? Array(" ,\t".utf8) : [$0] }
        require(PageForm.accepted(by: spaced) == form, "white space around a comma makes a difference")
        let emptied = value.flatMap { $0 == UInt8(ascii: ",") ? Array(",,".utf8) : [$0] }
        require(PageForm.accepted(by: emptied) == form, "an empty element makes a difference")
    }
}
