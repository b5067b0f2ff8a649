/// An error as clients see it: RFC 9457 problem details with a stable `code`.
public struct Problem: Sendable {
    /// What a refused request may have changed.
    public enum SideEffects: String, Sendable {
        /// Nothing.
        case none
        /// It may have taken effect whole, or not at all.
        case unknown
    }

    /// HTTP status, 400…599.
    public var status: Int
    /// Stable name in snake_case; also the last part of the `type` URI.
    public var code: StaticString
    /// One short phrase that is the same for every occurrence.
    public var title: StaticString
    /// What happened this time and what to do, in one sentence.
    public var detail: String
    /// True if the same request may succeed later.
    public var retryable: Bool
    public var sideEffects: SideEffects
    /// Sent as `Retry-After` if not nil.
    public var retryAfterSeconds: UInt64?
    /// Close the connection after the answer.
    public var closeConnection = false
    /// Further members of the JSON object. Their names need no escape.
    public var members: [(name: StaticString, value: UInt64)] = []
    /// Further header lines.
    public var headers: [(name: StaticString, value: String)] = []

    public init(
        status: Int, code: StaticString, title: StaticString, detail: String, retryable: Bool = false,
        sideEffects: SideEffects = .none, retryAfterSeconds: UInt64? = nil
    ) {
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retryable = retryable
        self.sideEffects = sideEffects
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// The problem as an answer, never to be cached.
    public func response() -> HTTPResponse {
        var response = HTTPResponse(status: status, copying: json() + [0x0A])
        response.addHeader("Content-Type", "application/problem+json")
        response.addHeader("Cache-Control", "no-store")
        response.addHeader("X-Content-Type-Options", "nosniff")
        if let retryAfterSeconds {
            response.addHeader("Retry-After", retryAfterSeconds)
        }
        for header in headers {
            var value = header.value
            value.withUTF8 { unsafe response.addHeader(header.name, UnsafeRawBufferPointer($0)) }
        }
        response.closeConnection = closeConnection
        return response
    }

    /// The problem as a JSON object.
    func json() -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(256 + detail.utf8.count)
        text.append(contentsOf: #"{"type":"https://appendlog.dev/problems/"#.utf8)
        text.append(contentsOf: "\(code)".utf8)
        text.append(contentsOf: #"","title":"#.utf8)
        JSONText.appendQuoted("\(title)", to: &text)
        text.append(contentsOf: #","status":\#(status),"code":"\#(code)","detail":"#.utf8)
        JSONText.appendQuoted(detail, to: &text)
        text.append(contentsOf: #","retryable":\#(retryable),"side_effects":"\#(sideEffects.rawValue)""#.utf8)
        for member in members {
            text.append(contentsOf: #","\#(member.name)":\#(member.value)"#.utf8)
        }
        text.append(UInt8(ascii: "}"))
        return text
    }
}
