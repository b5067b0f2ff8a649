import Glibc
import LogFormat

/// What was read from a segment: block-aligned memory, filled from a position on.
@safe
final class ReadBuffer {
    private(set) var memory = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var start = Position.zero
    private var byteCount = 0
    /// The disk is writing into it.
    var isReading = false

    deinit {
        // While a disk read is under way the kernel may write into it: then it is the kernel's as long as the process lives.
        if !isReading { unsafe free(memory.baseAddress) }
    }

    /// Leaves the memory to a disk read of which nothing more will be heard.
    func giveUp() {
        unsafe memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        byteCount = 0
    }

    /// Room for so many bytes; what was there is lost.
    func reserve(_ bytes: Int, alignment: Int) {
        byteCount = 0
        if unsafe memory.count >= bytes { return }
        unsafe free(memory.baseAddress)
        var address: UnsafeMutableRawPointer?
        let code = unsafe posix_memalign(&address, alignment, bytes)
        precondition(code == 0, "no memory for \(bytes) bytes of a read")
        unsafe memory = UnsafeMutableRawBufferPointer(start: address, count: bytes)
    }

    /// Its first `bytes` hold what a segment has from a position on.
    func filled(from position: Position, bytes: Int) {
        start = position
        byteCount = bytes
    }

    /// The bytes from a position on, if at least `count` are there.
    func bytes(at position: Position, count: Int) -> UnsafeRawBufferPointer? {
        guard byteCount > 0, position >= start, position - start + count <= byteCount else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: memory[(position - start)..<byteCount])
    }
}
