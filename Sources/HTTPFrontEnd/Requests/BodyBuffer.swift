import Glibc

/// A request's body in one piece of memory. Small memory is kept for the next request.
@safe struct BodyBuffer: ~Copyable {
    private var start: UnsafeMutableRawPointer?
    private(set) var capacityBytes = 0
    private(set) var byteCount = 0

    init() {}

    deinit {
        unsafe free(start)
    }

    /// The bytes received; valid until the next change.
    var bytes: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: start, count: byteCount)
    }

    /// Makes room for `bytes` in all. What is there stays.
    mutating func reserve(_ bytes: Int) {
        guard bytes > capacityBytes else { return }
        guard let grown = unsafe realloc(start, bytes) else {
            preconditionFailure("no memory for a body of \(bytes) bytes")
        }
        unsafe start = unsafe grown
        capacityBytes = bytes
    }

    /// Appends; there must be room.
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(byteCount + bytes.count <= capacityBytes, "room was reserved")
        guard unsafe !bytes.isEmpty else { return }
        unsafe memcpy(start! + byteCount, bytes.baseAddress!, bytes.count)
        byteCount += bytes.count
    }

    /// Forgets the bytes; gives large memory back.
    mutating func reset() {
        byteCount = 0
        if capacityBytes > HTTPLimits.keptBodyBytesMax {
            unsafe free(start)
            unsafe start = nil
            capacityBytes = 0
        }
    }
}
