extension CompletionToken {
    /// The answer, awaited without blocking a thread.
    ///
    /// Throws `WriteAheadLogError.poisoned`, or `CancellationError` at once when the task is cancelled. The append itself is not
    /// taken back by that: it becomes durable all the same.
    public var value: AppendResult {
        get async throws {
            try Task.checkCancellation()
            if isCompleted { return try answer() }
            let awaiting = Awaiting()
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    guard awaiting.begin(continuation) else { return }
                    whenCompleted { awaiting.end($0.mapError { $0 }) }
                }
            } onCancel: {
                awaiting.end(.failure(CancellationError()))
            }
        }
    }
}

/// One task that awaits a token: resumed once, by the answer or by its cancellation, whichever comes first.
private final class Awaiting: @unchecked Sendable {
    // Sendable, as the lock guards the state.
    private enum State {
        case new
        case waiting(CheckedContinuation<AppendResult, any Error>)
        case ended
    }

    private let lock = Lock()
    private var state = State.new

    /// False if the task was cancelled before; it is resumed then.
    func begin(_ continuation: CheckedContinuation<AppendResult, any Error>) -> Bool {
        let isNew = lock.withLock {
            guard case .new = state else { return false }
            state = .waiting(continuation)
            return true
        }
        if !isNew { continuation.resume(throwing: CancellationError()) }
        return isNew
    }

    func end(_ result: Result<AppendResult, any Error>) {
        let continuation: CheckedContinuation<AppendResult, any Error>? = lock.withLock {
            defer { state = .ended }
            guard case .waiting(let continuation) = state else { return nil }
            return continuation
        }
        continuation?.resume(with: result)
    }
}
