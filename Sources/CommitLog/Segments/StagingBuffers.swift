import Glibc
import LogFormat

/// The two batch buffers: frames are copied into the filling one while the other is with the disk.
/// One region, aligned for huge pages and touched at once, so that no append meets a page fault.
@safe
struct StagingBuffers: ~Copyable {
    private static let hugePageBytes = 2 << 20

    private let region: UnsafeMutableRawBufferPointer
    /// Bytes of one buffer: a whole number of blocks.
    let bufferBytes: Int
    private var isGivenUp = false

    init(bufferBytes: Int, blockBytes: Int) {
        precondition(bufferBytes >= blockBytes && bufferBytes % blockBytes == 0)
        self.bufferBytes = bufferBytes
        let total = roundedUp(2 * bufferBytes, to: Self.hugePageBytes)
        var address: UnsafeMutableRawPointer?
        let code = unsafe posix_memalign(&address, Self.hugePageBytes, total)
        precondition(code == 0, "no memory for \(total) bytes of staging")
        unsafe region = unsafe UnsafeMutableRawBufferPointer(start: address, count: total)
        // Advice: without huge pages a large batch costs more, nothing else changes.
        unsafe _ = madvise(address!, total, MADV_HUGEPAGE)
        unsafe _ = memset(address!, 0, total)
    }

    deinit { if !isGivenUp { unsafe free(region.baseAddress) } }

    /// Leaves the memory to the kernel, which may still read from it, for as long as the process lives.
    mutating func giveUp() { isGivenUp = true }

    /// One of the two buffers, by index 0 or 1.
    func buffer(_ index: Int) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(rebasing: region[index * bufferBytes..<(index + 1) * bufferBytes])
    }

    /// Both, as they are registered with the kernel.
    var all: [UnsafeMutableRawBufferPointer] { unsafe [buffer(0), buffer(1)] }
}
