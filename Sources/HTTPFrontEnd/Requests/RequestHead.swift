import Glibc

/// The request line as libmicrohttpd split it: NUL-terminated, valid during the handler call.
@safe struct RequestLine {
    let method: UnsafePointer<CChar>
    let version: UnsafePointer<CChar>

    init(method: UnsafePointer<CChar>, version: UnsafePointer<CChar>) {
        unsafe self.method = unsafe method
        unsafe self.version = unsafe version
    }

    /// HTTP/1.0 knows neither Host nor transfer codings.
    var isHTTP10: Bool {
        unsafe strcmp(version, "HTTP/1.0") == 0
    }
}

/// What one walk over the header lines finds out about framing. libmicrohttpd itself looks only at the first line of
/// each name, and accepts requests that another server would split elsewhere.
struct HeaderSummary {
    var hostCount = 0
    var contentLengthCount = 0
    var transferEncodingCount = 0
    /// Every Transfer-Encoding line says exactly "chunked", as libmicrohttpd understands it.
    var isChunkedOnly = true
    /// The first Content-Length; all digits, since libmicrohttpd has refused it otherwise.
    var contentLength: UInt64 = 0
    /// The client waits for "100 Continue" before it sends its body.
    var expectsContinue = false
    /// A name or a value has a byte that it may not have, or its line was folded (RFC 9112, 5.2).
    var hasInvalidLine = false
    /// The noted headers that are there, and those of them that are there more than once.
    var noted: NotedHeaders = []
    var repeated: NotedHeaders = []

    /// Takes one header line in.
    mutating func note(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        if unsafe !Self.isName(name) || !Self.isValue(value) || Self.isFolded(name, value) { hasInvalidLine = true }
        switch name.count {
        case 4 where unsafe Self.equal(name, "host"):
            hostCount += 1
        case 6 where unsafe Self.equal(name, "expect"):
            expectsContinue = unsafe expectsContinue || Self.equal(value, "100-continue")
        case 14 where unsafe Self.equal(name, "content-length"):
            contentLengthCount += 1
            if contentLengthCount == 1 { contentLength = unsafe Self.decimal(value) }
        case 17 where unsafe Self.equal(name, "transfer-encoding"):
            transferEncodingCount += 1
            isChunkedOnly = unsafe isChunkedOnly && Self.equal(value, "chunked")
        default:
            break
        }
        let header = unsafe NotedHeaders(name: name)
        repeated.formUnion(noted.intersection(header))
        noted.formUnion(header)
    }

    /// True for a line that goes on in the next one. libmicrohttpd 0.9.75 appends the rest to a copy of the *name*, behind
    /// its read buffer, so that a Transfer-Encoding becomes some other header and the body the next request; a name
    /// that was not copied lies before its value.
    private static func isFolded(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        guard let nameStart = name.baseAddress, let valueStart = value.baseAddress else { return false }
        return unsafe valueStart < nameStart + name.count
    }

    /// No control character but the tab: a CR alone ends a line for some (RFC 9112, 2.2).
    private static func isValue(_ value: UnsafeRawBufferPointer) -> Bool {
        unsafe value.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }
    }

    /// Visible ASCII, and at least one.
    private static func isName(_ name: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<name.count {
            let byte = unsafe name[index]
            if byte <= 0x20 || byte >= 0x7F { return false }
        }
        return unsafe !name.isEmpty
    }

    /// Compares without regard to ASCII case; `lowercase` has only lower-case letters and hyphens.
    static func equal(_ text: UnsafeRawBufferPointer, _ lowercase: StaticString) -> Bool {
        guard text.count == lowercase.utf8CodeUnitCount else { return false }
        for index in text.indices {
            let byte = unsafe text[index]
            let folded = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
            if unsafe folded != lowercase.utf8Start[index] { return false }
        }
        return true
    }

    /// The number, or the largest one if it does not fit.
    private static func decimal(_ digits: UnsafeRawBufferPointer) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<digits.count {
            let byte = unsafe digits[index]
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte &- UInt8(ascii: "0")))
            if overflow || carry { return .max }
            value = sum
        }
        return value
    }
}

/// One walk over the header lines, in their order: what they say, and whether they are all that was sent between the
/// request line and the empty line, each ended by CR LF.
///
/// libmicrohttpd 0.9.75 writes NULs over the line ends and measures texts by `strlen`: a NUL that was sent cuts a value
/// short, and at the beginning of a line it ends the headers. What is left out shows as a gap between two lines. A line that
/// ends with LF alone shows too; it is refused, because beside it some gaps would not.
@safe struct HeaderWalk {
    private var summary = HeaderSummary()
    /// Behind the text of the last line.
    private var end: UnsafeRawPointer
    private var hasLines = false

    init(behind line: RequestLine) {
        unsafe end = UnsafeRawPointer(line.version) + strlen(line.version)
    }

    mutating func note(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        unsafe summary.note(name: name, value: value)
        hasLines = true
        guard let nameStart = name.baseAddress, let valueStart = value.baseAddress, unsafe nameStart == end + 2 else {
            summary.hasInvalidLine = true
            return
        }
        unsafe end = valueStart + value.count
    }

    /// What the lines say. `headEnd` is the first byte behind the empty line: two line ends behind the last line's text.
    consuming func finish(headEnd: UnsafeRawPointer) -> HeaderSummary {
        if hasLines, unsafe headEnd != end + 4 { summary.hasInvalidLine = true }
        return summary
    }
}

/// The values of all headers of one name.
@safe struct CombinedHeader {
    let name: StaticString
    private(set) var value: [UInt8]?

    init(name: StaticString) { self.name = name }

    mutating func note(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        guard unsafe HeaderSummary.equal(name, self.name) else { return }
        if self.value == nil { self.value = [] } else { self.value?.append(UInt8(ascii: ",")) }
        unsafe self.value?.append(contentsOf: value)
    }
}
