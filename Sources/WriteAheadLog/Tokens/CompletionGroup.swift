/// Tokens that are waited for together. Safe to use from many threads.
public final class CompletionGroup: @unchecked Sendable {
    // Sendable, as the lock guards the tokens.
    private let lock = Lock()
    private var tokens: [CompletionToken] = []
    /// So many of the first tokens were seen completed.
    private var seenCount = 0

    /// A group without tokens.
    public init() {}

    /// Adds a token behind the others.
    public func track(_ token: CompletionToken) { lock.withLock { tokens.append(token) } }

    /// How many tokens are tracked.
    public var count: Int { lock.withLock { tokens.count } }

    /// How many of them are completed.
    public var completedCount: Int { lock.withLock { tokens.count { $0.isCompleted } } }

    /// Whether all of them are; true without any.
    public var allCompleted: Bool { lock.withLock { tokens.allSatisfy { $0.isCompleted } } }

    /// Looks without waiting, and returns those that have completed since the last call and before which none is open, in
    /// the order in which they are tracked. Each token is returned once, and stays tracked until `clear`.
    public func poll() -> [CompletionToken] {
        lock.withLock {
            let completed = tokens[seenCount...].prefix { $0.isCompleted }
            seenCount += completed.count
            return Array(completed)
        }
    }

    /// Blocks until all tokens that are tracked now are completed. Returns their results in order, or throws the first error
    /// in that order, after the last one is completed too.
    @discardableResult
    public func waitAll() throws(WriteAheadLogError) -> [AppendResult] {
        var found: [AppendResult] = []
        var failure: WriteAheadLogError?
        for token in all {
            do throws(WriteAheadLogError) { found.append(try token.wait()) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
        return found
    }

    /// As `waitAll`, for so long at the most: nil if the time is over before the last one is completed.
    @discardableResult
    public func waitAll(timeout: Duration) throws(WriteAheadLogError) -> [AppendResult]? {
        let deadline = ContinuousClock.now + timeout
        for token in all where !isCompleted(token, before: deadline) { return nil }
        return try waitAll()
    }

    /// As `waitAll`, without blocking a thread. Throws `CancellationError` when the task is cancelled.
    @discardableResult
    public func values() async throws -> [AppendResult] {
        var found: [AppendResult] = []
        var failure: WriteAheadLogError?
        for token in all {
            do { found.append(try await token.value) } catch let error as WriteAheadLogError {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return found
    }

    /// Forgets all tokens. What they promise is not touched by that.
    public func clear() {
        lock.withLock {
            tokens.removeAll(keepingCapacity: true)
            seenCount = 0
        }
    }

    private var all: [CompletionToken] { lock.withLock { tokens } }

    /// An error is an answer too: `waitAll` throws it.
    private func isCompleted(_ token: CompletionToken, before deadline: ContinuousClock.Instant) -> Bool {
        do throws(WriteAheadLogError) { return try token.wait(timeout: deadline - .now) != nil } catch { return true }
    }
}
