import CLibURing
import Glibc

/// Entering the kernel: submitting what is queued, waiting, and taking completions.
extension Ring {
    /// Submits what is queued, waits for a completion, and appends those that are there.
    ///
    /// A signal ends the wait early, and so does a kernel short of memory for requests; what could not be submitted
    /// stays queued for the next call. So a return without completions is no error, and not always the timeout.
    ///
    /// - Parameters:
    ///   - timeoutMicroseconds: how long to wait for the first completion; 0 does not wait, nil waits without end.
    ///   - completions: at most `batchCompletionCountMax` are appended, oldest first. Nothing is allocated when its
    ///     capacity suffices.
    /// - Throws: what `io_uring_enter` refuses: `EBADFD` before `restrictAndEnable`, `EEXIST` on another thread;
    ///   `ECANCELED` if the kernel took only the first half of a linked pair (never seen; the second half, when it
    ///   completes, proves nothing about the first).
    public mutating func submitAndWait(
        timeoutMicroseconds: Int64?, into completions: inout [RingCompletion]
    ) throws(RingError) {
        let headBefore = unsafe ring.pointee.sq.khead.pointee
        let result = enter(timeoutMicroseconds: timeoutMicroseconds)
        try checkSubmitted(result, since: headBefore)
        take(into: &completions)
    }

    /// Submits what is queued without waiting. Completions stay for `submitAndWait`.
    /// - Throws: as `submitAndWait`.
    public mutating func submit() throws(RingError) {
        let headBefore = unsafe ring.pointee.sq.khead.pointee
        let result = unsafe io_uring_submit(ring)
        try checkSubmitted(result, since: headBefore)
    }

    /// Submissions queued but not yet in the kernel.
    public var queuedCount: Int { unsafe Int(io_uring_sq_ready(ring)) }

    private func enter(timeoutMicroseconds: Int64?) -> Int32 {
        // Asks for events even if nothing is queued: deferred completions appear only then.
        if timeoutMicroseconds == 0 { return unsafe io_uring_submit_and_get_events(ring) }
        var first: UnsafeMutablePointer<io_uring_cqe>?
        guard let timeoutMicroseconds else {
            return unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, nil, nil)
        }
        precondition(timeoutMicroseconds > 0, "a timeout is not negative")
        var timeout = __kernel_timespec(
            tv_sec: timeoutMicroseconds / 1_000_000, tv_nsec: timeoutMicroseconds % 1_000_000 * 1_000)
        return unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, &timeout, nil)
    }

    /// Passes what ends a wait and loses nothing, throws the rest.
    func checkSubmitted(_ result: Int32, since headBefore: UInt32) throws(RingError) {
        switch -result {
        case ETIME, EINTR, EAGAIN, EBUSY: break
        default: try Self.check(result, "io_uring_enter")
        }
        if linkWasCut(since: headBefore) { throw RingError(operation: "io_uring_enter", errno: ECANCELED) }
    }

    /// Whether the kernel stopped between two linked submissions (out of memory there). It then starts the first alone,
    /// and the second would later run without waiting for it: a sync that does not cover its write.
    private func linkWasCut(since headBefore: UInt32) -> Bool {
        let queue = unsafe ring.pointee.sq
        let head = unsafe queue.khead.pointee
        guard head != headBefore, unsafe io_uring_sq_ready(ring) > 0 else { return false }
        let last = unsafe queue.sqes[Int((head &- 1) & queue.ring_mask)]
        return last.flags & SubmissionFlag.linkNext != 0
    }

    /// Copies one batch of completions out and gives their places back to the kernel.
    private mutating func take(into completions: inout [RingCompletion]) {
        let count = unsafe io_uring_peek_batch_cqe(ring, taken, UInt32(Self.batchCompletionCountMax))
        for index in 0..<Int(count) {
            guard let entry = unsafe taken[index]?.pointee else { preconditionFailure("a completion counted is there") }
            let hasMore = entry.flags & IORING_CQE_F_MORE != 0
            completions.append(
                RingCompletion(tag: RingTag(rawValue: entry.user_data), result: entry.res, hasMore: hasMore))
            if !hasMore { outstandingCount -= 1 }
        }
        unsafe io_uring_cq_advance(ring, count)
        assert(outstandingCount >= 0, "a submission completes for the last time once")
    }
}
