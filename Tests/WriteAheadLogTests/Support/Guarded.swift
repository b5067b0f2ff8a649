@testable import WriteAheadLog

/// A value that threads share. Not Swift's `Mutex`, which ThreadSanitizer does not see.
final class Guarded<Value>: @unchecked Sendable {
    // Sendable, as the lock guards the value.
    private let lock = Lock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    func withLock<Result, Failure: Error>(_ body: (inout Value) throws(Failure) -> Result) throws(Failure) -> Result {
        try lock.withLock { () throws(Failure) in try body(&value) }
    }
}
