import Glibc
import Synchronization
import Testing

@testable import CommitLog

struct WorkerTests {
    /// Waits for the worker's signal and takes what it has finished, until there are so many outcomes.
    private func collect<Job, Outcome>(_ worker: Worker<Job, Outcome>, _ count: Int) -> [Outcome] {
        var outcomes: [Outcome] = []
        while outcomes.count < count {
            var entry = pollfd(fd: worker.outcomeDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 30_000) == 1)
            outcomes += worker.takeOutcomes()
        }
        return outcomes
    }

    @Test func jobsAreDoneOneAfterAnotherInOrder() throws {
        let worker = try Worker<Int, Int>(name: "test") { $0 * 2 }
        for job in 0..<1000 { worker.post(job) }
        #expect(collect(worker, 1000) == (0..<1000).map { $0 * 2 })
        worker.stop()
        #expect(worker.takeOutcomes() == [])
    }

    @Test func stoppingFinishesWhatWasPosted() throws {
        let worker = try Worker<Int, Int>(name: "test") { $0 }
        for job in 0..<200 { worker.post(job) }
        worker.stop()
        #expect(worker.takeOutcomes() == Array(0..<200))
    }

    @Test func stoppingTwiceIsHarmless() throws {
        let worker = try Worker<Int, Int>(name: "test") { $0 }
        worker.stop()
        worker.stop()
        #expect(worker.takeOutcomes() == [])
    }

    @Test func theSignalIsTakenBackWithTheOutcomes() throws {
        let worker = try Worker<Int, Int>(name: "test") { $0 }
        worker.post(1)
        #expect(collect(worker, 1) == [1])
        worker.stop()
        _ = worker.takeOutcomes()
        var entry = pollfd(fd: worker.outcomeDescriptor, events: Int16(POLLIN), revents: 0)
        #expect(poll(&entry, 1, 0) == 0)
    }

    @Test func aStoppedWorkerHoldsNothingBack() throws {
        final class Guard: Sendable {
            let onEnd: @Sendable () -> Void
            init(_ onEnd: @escaping @Sendable () -> Void) { self.onEnd = onEnd }
            deinit { onEnd() }
        }
        final class Flag: Sendable { let isSet = Atomic<Bool>(false) }
        let flag = Flag()
        do {
            let guarded = Guard { flag.isSet.store(true, ordering: .sequentiallyConsistent) }
            let worker = try Worker<Int, Int>(name: "test") { [guarded] job in withExtendedLifetime(guarded) { job } }
            worker.post(1)
            worker.stop()
        }
        let isReleased = flag.isSet.load(ordering: .sequentiallyConsistent)
        #expect(isReleased)
    }
}
