import Glibc

/// A piece of streaming answers: bytes that any number of streams send from the same memory.
///
/// Filled by `append`, then given to streams, and never changed again. Around the bytes there is room for the frame that a
/// chunked answer (RFC 9112, 7.1) has around each chunk, so that one call sends the piece with its frame.
@safe public final class SharedBytes {
    /// Eight hexadecimal digits, CR, LF.
    private static let headBytes = 10
    /// CR, LF.
    private static let tailBytes = 2

    private var start: UnsafeMutableRawPointer
    private var capacity: Int
    /// Bytes in the piece.
    public private(set) var count = 0
    private var isSealed = false
    /// Counts its memory as long as it lives; nil if nobody wants to know.
    private let gauge: MemoryGauge?

    /// An empty piece with room for `capacity` bytes; it grows.
    public init(capacity: Int, gauge: MemoryGauge? = nil) {
        self.capacity = capacity
        self.gauge = gauge
        unsafe start = Self.allocate(capacity)
        gauge?.bytes += capacity
    }

    /// A piece with a copy of these bytes.
    public convenience init(copying bytes: [UInt8], gauge: MemoryGauge? = nil) {
        self.init(capacity: bytes.count, gauge: gauge)
        unsafe bytes.withUnsafeBytes { unsafe append($0) }
    }

    deinit {
        gauge?.bytes -= capacity
        unsafe free(start)
    }

    /// Adds bytes at the end. Not once it was given to a stream.
    public func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(!isSealed, "a piece that is sent does not change")
        if count + bytes.count > capacity { grow(to: max(count + bytes.count, capacity * 2)) }
        if let source = bytes.baseAddress { unsafe memcpy(start + Self.headBytes + count, source, bytes.count) }
        count += bytes.count
    }

    /// Room that is left before it grows.
    public var freeBytes: Int {
        capacity - count
    }

    /// What goes over the wire: the bytes, with the frame of a chunk or without. Not empty, since an empty chunk ends a body.
    func sealed(asChunk: Bool) -> UnsafeRawBufferPointer {
        precondition(count > 0, "an empty piece would end the answer")
        if !isSealed { seal() }
        return unsafe asChunk
            ? UnsafeRawBufferPointer(start: start, count: Self.headBytes + count + Self.tailBytes)
            : UnsafeRawBufferPointer(start: start + Self.headBytes, count: count)
    }

    private func seal() {
        isSealed = true
        var rest = count
        for index in stride(from: 7, through: 0, by: -1) {
            let digit = UInt8(rest & 15)
            rest >>= 4
            let text = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
            unsafe start.storeBytes(of: text, toByteOffset: index, as: UInt8.self)
        }
        precondition(rest == 0, "a chunk has less than 4 GiB")
        for offset in [Self.headBytes - 2, Self.headBytes + count] {
            unsafe start.storeBytes(of: 0x0D, toByteOffset: offset, as: UInt8.self)
            unsafe start.storeBytes(of: 0x0A, toByteOffset: offset + 1, as: UInt8.self)
        }
    }

    private func grow(to wanted: Int) {
        guard let larger = unsafe realloc(start, Self.headBytes + wanted + Self.tailBytes) else {
            preconditionFailure("no memory for \(wanted) bytes of an answer")
        }
        unsafe start = unsafe larger
        gauge?.bytes += wanted - capacity
        capacity = wanted
    }

    private static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
        guard let start = unsafe malloc(headBytes + capacity + tailBytes) else {
            preconditionFailure("no memory for \(capacity) bytes of an answer")
        }
        return unsafe start
    }
}

/// Bytes that the pieces made with it take at the moment. For one thread.
public final class MemoryGauge {
    public fileprivate(set) var bytes = 0

    public init() {}
}
