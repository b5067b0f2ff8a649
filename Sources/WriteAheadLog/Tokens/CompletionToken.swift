import CommitLog
import LogFormat

/// What an append that became durable was given.
public struct AppendResult: Sendable, Hashable {
    /// The place of the (first) record.
    public let position: RecordPosition
    /// Bytes of the records themselves.
    public let byteCount: Int
    /// 1 for `append(_:)`, as many as there were for `append(contentsOf:)`.
    public let recordCount: Int

    /// The place behind the (last) record.
    public var next: RecordPosition { position.advanced(records: recordCount, bytes: byteCount) }
}

/// The promise that an accepted append is answered: with its position once its bytes are synced, or with the error that
/// poisoned the log. It is a value and costs no memory of its own; copies of it are the same promise.
///
/// Every token is answered, also by a failing disk and by `shutdown`. Dropping one does not take the append back.
public struct CompletionToken: Sendable, Identifiable {
    let loop: CommitLoop
    /// Tells the tokens of one log apart, in the order of their acceptance.
    public let id: UInt64
    let batch: BatchNumber
    let result: AppendResult

    /// The place that the (first) record has once it is durable, and has if it is there after a failure.
    public var position: RecordPosition { result.position }

    /// Whether it is answered. Takes no lock.
    public var isCompleted: Bool { loop.answers.isAnswered(batch) }

    /// Blocks the calling thread until the bytes are on the disk. In asynchronous code use `value`.
    ///
    /// Throws `WriteAheadLogError.poisoned`. Must not be called from a callback of `whenCompleted`: it traps there.
    @discardableResult
    public func wait() throws(WriteAheadLogError) -> AppendResult {
        if !isCompleted {
            refuseOnLoop()
            loop.commitHere(batch)
        }
        if !isCompleted { _ = block(untilMicroseconds: nil) }
        return try answer()
    }

    /// As `wait()`, for so long at the most: nil if the time is over and the answer is not there yet.
    @discardableResult
    public func wait(timeout: Duration) throws(WriteAheadLogError) -> AppendResult? {
        if !isCompleted {
            refuseOnLoop()
            let deadline = loop.clock.monotonicMicroseconds.addingClamped(max(0, timeout.microseconds))
            guard block(untilMicroseconds: deadline) else { return nil }
        }
        return try answer()
    }

    /// Calls `body` once with the answer: on the log's own thread, which commits nothing meanwhile, or at once on the calling
    /// one if the token is completed. It must be short and not wait for the log; it may append.
    public func whenCompleted(_ body: @escaping @Sendable (Result<AppendResult, WriteAheadLogError>) -> Void) {
        loop.observe(batch) { body(Result { () throws(WriteAheadLogError) in try answer() }) }
    }

    /// The answer of a token that is completed.
    func answer() throws(WriteAheadLogError) -> AppendResult {
        if let error = loop.failure(of: batch) { throw error }
        return result
    }

    private func refuseOnLoop() {
        precondition(!loop.isOnLoop, "a callback waits for the thread that it runs on")
    }

    private func block(untilMicroseconds deadline: Int64?) -> Bool {
        loop.answers.wait(for: batch, untilMicroseconds: deadline) { loop.clock.monotonicMicroseconds }
    }
}

extension CompletionToken: Hashable {
    public static func == (left: Self, right: Self) -> Bool { left.id == right.id && left.loop === right.loop }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(id)
        hasher.combine(ObjectIdentifier(loop))
    }
}

extension Duration {
    /// Rounded up, and clamped to what an Int64 holds.
    fileprivate var microseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        return whole.addingClamped((attoseconds + 999_999_999_999) / 1_000_000_000_000)
    }
}

extension Int64 {
    fileprivate func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}
