import CLinux
import Glibc
import LogFormat
import Synchronization

/// How far the log is durable, for threads that wait until it is far enough: readable without a lock, waited for with
/// a futex, and woken only those whose batch it may be.
@safe
final class Progress: Sendable {
    /// What waits for batches of one parity. The batch in flight and the filling one are never of the same.
    @safe
    private struct Gate: @unchecked Sendable {
        // Sendable, as both numbers are atomic.
        /// Changes whenever a batch of this parity has ended. The futex.
        let changes: UnsafeMutablePointer<Atomic<UInt32>>
        let waiterCount: UnsafeMutablePointer<Atomic<UInt32>>

        init() {
            unsafe changes = .allocate(capacity: 1)
            unsafe waiterCount = .allocate(capacity: 1)
            unsafe changes.initialize(to: Atomic(0))
            unsafe waiterCount.initialize(to: Atomic(0))
        }

        func open() {
            unsafe changes.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
            guard unsafe waiterCount.pointee.load(ordering: .sequentiallyConsistent) > 0 else { return }
            unsafe clinux_futex_wake_all(changes)
        }

        func deallocate() {
            unsafe changes.deinitialize(count: 1)
            unsafe waiterCount.deinitialize(count: 1)
            unsafe changes.deallocate()
            unsafe waiterCount.deallocate()
        }
    }

    private let durable: Atomic<UInt64>
    /// Nothing becomes durable any more.
    private let hasEnded = Atomic(false)
    private let gates: (Gate, Gate) = (Gate(), Gate())

    init(durable: BatchNumber) { self.durable = Atomic(durable.rawValue) }

    deinit {
        gates.0.deallocate()
        gates.1.deallocate()
    }

    /// Whether the batch is on the disk.
    func isDurable(_ batch: BatchNumber) -> Bool { durable.load(ordering: .sequentiallyConsistent) >= batch.rawValue }

    /// Whether it is known what became of the batch.
    func isAnswered(_ batch: BatchNumber) -> Bool {
        isDurable(batch) || hasEnded.load(ordering: .sequentiallyConsistent)
    }

    /// Says that a batch is on the disk, with all before it; `release` wakes those who wait for it.
    func advance(to batch: BatchNumber) { durable.store(batch.rawValue, ordering: .sequentiallyConsistent) }

    /// Wakes those who wait for a batch.
    func release(_ batch: BatchNumber) { gate(batch).open() }

    /// Says that nothing more becomes durable; `releaseAll` wakes those who wait.
    func end() { hasEnded.store(true, ordering: .sequentiallyConsistent) }

    func releaseAll() {
        gates.0.open()
        gates.1.open()
    }

    /// Blocks until it is known what became of the batch, or until the time of the monotonic clock is over; says which.
    func wait(for batch: BatchNumber, untilMicroseconds deadline: Int64?, now: () -> Int64) -> Bool {
        let gate = gate(batch)
        unsafe gate.waiterCount.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { unsafe gate.waiterCount.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        while true {
            let seen = unsafe gate.changes.pointee.load(ordering: .sequentiallyConsistent)
            if isAnswered(batch) { return true }
            var remaining: Int64 = -1
            if let deadline {
                let current = now()
                // Compared first: the difference to a time long ago would overflow.
                if deadline <= current { return false }
                remaining = deadline - current
            }
            unsafe _ = clinux_futex_wait(gate.changes, seen, remaining)
        }
    }

    private func gate(_ batch: BatchNumber) -> Gate { batch.rawValue % 2 == 0 ? gates.0 : gates.1 }
}
