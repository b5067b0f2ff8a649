import Glibc

/// The status line and header lines of a streaming answer, and how its body is framed.
struct StreamHead {
    let text: [UInt8]
    let isChunked: Bool
    let isHeadOnly: Bool

    /// A client of HTTP/1.0 knows no chunks: its answer ends with the connection.
    init(_ response: borrowing HTTPResponse, isHTTP10: Bool, isHeadOnly: Bool) {
        isChunked = !isHTTP10
        self.isHeadOnly = isHeadOnly
        var lines = HeaderLines()
        lines.text.reserveCapacity(512)
        lines.append("HTTP/1.1 \(response.status) \(ResponseHandle.reason(of: response.status))\r\n")
        lines.append("Date: \(Self.date(time(nil)))\r\n")
        unsafe ResponseHandle.appendHeaders(of: response.pointer, to: &lines)
        if isChunked { lines.append("Transfer-Encoding: chunked\r\n") }
        lines.append("Connection: close\r\n\r\n")
        text = lines.text
    }

    /// A time as `Date` has it (RFC 9110, 5.6.7).
    static func date(_ seconds: time_t) -> String {
        var seconds = seconds
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { text in
            // The process never sets a locale: the names are the English ones of the C locale.
            _ = unsafe strftime(text.baseAddress!, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
            return unsafe String(cString: text.baseAddress!)
        }
    }
}

/// Header lines being written.
struct HeaderLines {
    var text: [UInt8] = []

    mutating func append(_ line: String) {
        text.append(contentsOf: line.utf8)
    }
}
