import Glibc

/// A mutex with a condition: pthread's own, which ThreadSanitizer understands (it does not see Swift's `Mutex`).
@safe
final class Lock: @unchecked Sendable {
    // Sendable, as pthread makes it so.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        let codes = unsafe (pthread_mutex_init(mutex, nil), pthread_cond_init(condition, nil))
        precondition(codes == (0, 0), "no mutex can be made")
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    func lock() {
        let code = unsafe pthread_mutex_lock(mutex)
        precondition(code == 0, "the lock is broken")
    }

    func unlock() {
        let code = unsafe pthread_mutex_unlock(mutex)
        precondition(code == 0, "the lock is not held")
    }

    func withLock<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Lets go of the lock until `wakeAll` is called, and takes it again. May return without that.
    func wait() { unsafe _ = pthread_cond_wait(condition, mutex) }

    /// Wakes all that wait; called with the lock held.
    func wakeAll() { unsafe _ = pthread_cond_broadcast(condition) }
}
