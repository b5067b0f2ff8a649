import CLibURing
import Glibc

/// One io_uring: a submission queue, a completion queue, and what is registered with them.
///
/// One thread uses it. The kernel binds the ring to the thread that calls `restrictAndEnable` (`SINGLE_ISSUER`) and
/// answers any other with `EEXIST`; so a ring may be made and given its files and buffers on one thread and be used on
/// another, as long as that other one enables it.
///
/// Order of use: `init` → `registerFiles`, `registerBuffers` (each optional) → `restrictAndEnable` → submissions.
///
/// Memory handed to a submission must stay in place until its last completion has been taken. Take all of them
/// (`outstandingCount`, a multishot poll aside) before the ring is closed: closing does not wait for the kernel.
@safe
public struct Ring: ~Copyable {
    /// - The C struct never moves: liburing and the mapped queues refer to it, so it lives on the heap.
    /// - Owned by this value alone; set up when `init` has returned, torn down in `deinit`.
    let ring: UnsafeMutablePointer<io_uring>
    /// Room for the addresses of one batch of completions; owned by this value.
    let taken: UnsafeMutablePointer<UnsafeMutablePointer<io_uring_cqe>?>

    /// The most completions that one `submitAndWait` takes; the rest stays for the next call.
    public static let batchCompletionCountMax = 256

    /// The flags that the kernel accepted.
    public let setupFlags: RingSetupFlags
    private var isEnabled = false
    /// Whether the kernel now refuses everything but the operations of this type.
    public private(set) var isRestricted = false
    /// Slots of the file table; 0 without one.
    public private(set) var registeredFileCount = 0
    /// Registered buffers; 0 without any.
    public private(set) var registeredBufferCount = 0
    /// Submissions that are queued or in the kernel and whose last completion has not been taken.
    public internal(set) var outstandingCount = 0

    /// Asks the kernel for a ring, disabled until `restrictAndEnable`.
    ///
    /// Flags that the kernel does not know are left away step by step; see `setupFlags`.
    /// - Parameters:
    ///   - entries: submissions that fit the queue between two submits; rounded up to a power of two. The ring's memory counts against `RLIMIT_MEMLOCK` (256 entries: 28 KiB).
    ///   - isShared: several threads enter it, one at a time; without, the one that enables it.
    /// - Throws: the refusal of `io_uring_setup`; `ENOSYS` if the kernel drops completions or cannot wait with a timeout.
    public init(entries: UInt32, isShared: Bool = false) throws(RingError) {
        precondition((1...32_768).contains(entries), "a ring has 1 to 32,768 entries")
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        let accepted: RingSetupFlags
        do throws(RingError) {
            accepted = try unsafe Self.setUp(ring, entries: entries, isShared: isShared)
        } catch {
            unsafe ring.deallocate()
            throw error
        }
        unsafe self.ring = ring
        unsafe taken = .allocate(capacity: Self.batchCompletionCountMax)
        unsafe taken.initialize(repeating: nil, count: Self.batchCompletionCountMax)
        setupFlags = accepted
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        unsafe taken.deallocate()
    }

    /// Gives the ring back to the kernel. The same happens when the last owner lets go of it.
    public consuming func close() {
        _ = consume self
    }

    /// Makes an empty file table with `count` slots, filled by `updateFile`.
    /// - Throws: `EINVAL` before Linux 5.19; `EMFILE` above the descriptor limit. Use `.descriptor` targets then.
    public mutating func registerFiles(count: Int) throws(RingError) {
        precondition(count > 0 && registeredFileCount == 0, "a file table is registered once")
        try Self.check(unsafe io_uring_register_files_sparse(ring, UInt32(count)), "io_uring_register_files_sparse")
        registeredFileCount = count
    }

    /// Puts a descriptor into a slot of the file table, or clears the slot with -1.
    ///
    /// The table holds the file itself: the descriptor may be closed afterwards. What is in flight on the slot keeps
    /// the file it began with.
    /// - Throws: `EBADF` for a descriptor that is not open.
    public mutating func updateFile(slot: Int, descriptor: Int32) throws(RingError) {
        precondition((0..<registeredFileCount).contains(slot), "the file table has no such slot")
        var descriptor = descriptor
        let updated = unsafe io_uring_register_files_update(ring, UInt32(slot), &descriptor, 1)
        try Self.check(updated, "io_uring_register_files_update")
        assert(updated == 1, "one slot was updated")
    }

    /// Pins buffers, so that writes from them (`bufferIndex`) spare the kernel looking up their pages.
    ///
    /// The buffers must stay mapped until the ring is closed. Their size counts against `RLIMIT_MEMLOCK`.
    /// - Throws: `ENOMEM` if the limit does not allow it: then write without `bufferIndex`.
    public mutating func registerBuffers(_ buffers: [UnsafeMutableRawBufferPointer]) throws(RingError) {
        unsafe precondition(!buffers.isEmpty && registeredBufferCount == 0, "buffers are registered once")
        let vectors = unsafe buffers.map { unsafe iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
        let result = unsafe io_uring_register_buffers(ring, vectors, UInt32(vectors.count))
        try Self.check(result, "io_uring_register_buffers")
        registeredBufferCount = unsafe vectors.count
    }

    /// Limits the ring to the operations of this type, then enables it and binds it to the calling thread.
    ///
    /// From here on only `updateFile` is allowed of the registrations. Where the kernel knows no restrictions
    /// (before Linux 5.10) the ring is enabled all the same and `isRestricted` stays false.
    /// To be called once.
    public mutating func restrictAndEnable() throws(RingError) {
        precondition(!isEnabled, "a ring is enabled once")
        // Two functions of liburing.h are missing from the shared library 2.3 (its list of exports forgot them), so
        // that calling them links statically only. This is what they do.
        let descriptor = unsafe UInt32(ring.pointee.ring_fd)
        let restrictions = RingRestrictions.list
        let refused = unsafe io_uring_register(
            descriptor, UInt32(IORING_REGISTER_RESTRICTIONS), restrictions, UInt32(restrictions.count))
        let enabled = io_uring_register(descriptor, UInt32(IORING_REGISTER_ENABLE_RINGS), nil, 0)
        try Self.check(enabled, "io_uring_enable_rings")
        isEnabled = true
        isRestricted = refused == 0
    }

    /// Turns liburing's negated errno into an error.
    static func check(_ result: Int32, _ operation: StaticString) throws(RingError) {
        if result < 0 { throw RingError(operation: operation, errno: -result) }
    }

    /// Tries the flag sets from the best to the oldest; only `EINVAL` (an unknown flag) leads to the next one.
    private static func setUp(
        _ ring: UnsafeMutablePointer<io_uring>, entries: UInt32, isShared: Bool
    ) throws(RingError) -> RingSetupFlags {
        var result = -EINVAL
        for flags in RingSetupFlags.attempts where !isShared || !flags.contains(.singleIssuer) {
            result = unsafe io_uring_queue_init(entries, ring, flags.rawValue)
            if result == -EINVAL { continue }
            try check(result, "io_uring_setup")
            // Without NODROP a full completion queue would lose completions; without EXT_ARG liburing would put
            // timeouts of its own into the queue.
            let needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG
            if unsafe ring.pointee.features & needed == needed { return flags }
            unsafe io_uring_queue_exit(ring)
            throw RingError(operation: "io_uring_setup", errno: ENOSYS)
        }
        throw RingError(operation: "io_uring_setup", errno: -result)
    }
}
