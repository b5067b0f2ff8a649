/// An answer being made: status, header lines and body, in libmicrohttpd's own form so that nothing is copied twice.
///
/// `Content-Length` and `Date` are added when it is sent, and a HEAD request gets it without its body.
@safe public struct HTTPResponse: ~Copyable {
    let pointer: OpaquePointer
    /// The status code, 200…599.
    public let status: Int
    /// Size of the body.
    public let bodyBytes: Int
    /// Close the connection after this answer, and say so in it.
    public var closeConnection = false

    /// An answer whose body is copied from `body`, which may go away afterwards.
    public init(status: Int, copying body: UnsafeRawBufferPointer) {
        unsafe self.init(status: status, body: body, memory: .copied)
    }

    /// An answer whose body is copied from `body`.
    public init(status: Int, copying body: [UInt8]) {
        let pointer = unsafe body.withUnsafeBytes { unsafe ResponseHandle.make(body: $0, memory: .copied) }
        unsafe self.init(status: status, bodyBytes: body.count, pointer: pointer)
    }

    /// An answer whose body was allocated by `malloc`; it is freed when the answer has been sent.
    public init(status: Int, adopting body: UnsafeMutableRawBufferPointer) {
        unsafe self.init(status: status, body: UnsafeRawBufferPointer(body), memory: .adopted)
    }

    /// An answer whose body is a literal, or that has none.
    public init(status: Int, body: StaticString = "") {
        let bytes = unsafe UnsafeRawBufferPointer(start: body.utf8Start, count: body.utf8CodeUnitCount)
        unsafe self.init(status: status, body: bytes, memory: .persistent)
    }

    private init(status: Int, body: UnsafeRawBufferPointer, memory: ResponseMemory) {
        unsafe self.init(
            status: status, bodyBytes: body.count, pointer: ResponseHandle.make(body: body, memory: memory))
    }

    private init(status: Int, bodyBytes: Int, pointer: OpaquePointer) {
        precondition((200...599).contains(status), "an answer has a final status")
        self.status = status
        self.bodyBytes = bodyBytes
        unsafe self.pointer = unsafe pointer
    }

    deinit {
        unsafe ResponseHandle.destroy(pointer)
    }

    /// Adds a header line. The value is not empty and has no line break.
    public mutating func addHeader(_ name: StaticString, _ value: StaticString) {
        unsafe ResponseHandle.add(name.utf8Start, value.utf8Start, to: pointer)
    }

    /// Adds a header line whose value is copied. The value is not empty and has neither line break nor NUL.
    public mutating func addHeader(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        unsafe withUnsafeTemporaryAllocation(byteCount: value.count + 1, alignment: 1) { text in
            unsafe text.copyMemory(from: value)
            unsafe text[value.count] = 0
            unsafe ResponseHandle.add(name.utf8Start, text.baseAddress!, to: pointer)
        }
    }

    /// Adds a header line with a decimal number.
    public mutating func addHeader(_ name: StaticString, _ value: UInt64) {
        unsafe withUnsafeTemporaryAllocation(byteCount: 21, alignment: 1) { text in
            var start = 20
            var rest = value
            unsafe text[start] = 0
            repeat {
                start -= 1
                unsafe text[start] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            unsafe ResponseHandle.add(name.utf8Start, text.baseAddress! + start, to: pointer)
        }
    }
}
