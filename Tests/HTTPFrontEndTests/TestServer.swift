import Glibc
import Synchronization

@testable import HTTPFrontEnd

/// A front end on a thread of its own, which sleeps in poll(2) without a timeout: a lost wake-up hangs the test.
///
/// The clock stands still until the test moves it. `@unchecked Sendable`:
/// - `jobs`, `clock` are guarded by a mutex or atomic,
/// - `state` is touched only on the loop's thread,
/// - the rest never changes after `init`.
final class TestServer: @unchecked Sendable {
    struct State {
        let frontEnd: HTTPFrontEnd
        let handler: TestHandler
    }

    /// `@unchecked Sendable`: whoever sends it waits until it has run.
    private struct Job: @unchecked Sendable {
        let body: () -> Void
    }

    let port: UInt16
    private let state: State
    /// A pipe: its reading and its writing end.
    private let wake: (read: Int32, write: Int32)
    private let jobs = Mutex<[Job]>([])
    private let clock = Atomic<UInt64>(1_000_000)
    private let isOver = Atomic<Bool>(false)
    private var thread = pthread_t()

    init(address: String = "127.0.0.1:0", _ adjust: (inout HTTPLimits) -> Void = { _ in }) throws {
        var limits = HTTPLimits()
        adjust(&limits)
        let handler = TestHandler()
        state = State(frontEnd: try HTTPFrontEnd(address: address, limits: limits, handler: handler), handler: handler)
        port = state.frontEnd.listeningPort
        var ends: [Int32] = [-1, -1]
        pipe(&ends)
        wake = (ends[0], ends[1])
        let context = Unmanaged.passRetained(self).toOpaque()
        pthread_create(
            &thread, nil,
            { context in
                Unmanaged<TestServer>.fromOpaque(context!).takeRetainedValue().loop()
                return nil
            }, context)
    }

    /// Ends the loop and the front end; waits for both.
    func stop() {
        onLoop { state in
            state.frontEnd.stop()
            self.isOver.store(true, ordering: .relaxed)
        }
        pthread_join(thread, nil)
        close(wake.read)
        close(wake.write)
    }

    /// Runs `body` on the loop's thread, followed by a run of the front end, and waits for both.
    @discardableResult
    func onLoop<Result>(_ body: @escaping (State) -> Result) -> Result {
        var result: Result?
        let done = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        sem_init(done, 0, 0)
        let job = Job { [state] in
            result = body(state)
            self.run()
            sem_post(done)
        }
        jobs.withLock { $0.append(job) }
        write(wake.write, "x", 1)
        while sem_wait(done) != 0 {}
        sem_destroy(done)
        done.deallocate()
        return result!
    }

    /// Waits until `condition` holds on the loop's thread. False after 10 s.
    func waitUntil(_ condition: @escaping (State) -> Bool) -> Bool {
        for _ in 0..<10_000 {
            if onLoop(condition) { return true }
            usleep(1_000)
        }
        return false
    }

    /// Moves the clock and runs.
    func advance(microseconds: UInt64) {
        clock.add(microseconds, ordering: .relaxed)
        onLoop { _ in }
    }

    /// Moves the clock by whole seconds and looks at every deadline once.
    func advance(seconds: UInt64) {
        clock.add(seconds * 1_000_000, ordering: .relaxed)
        onLoop { state in
            for _ in 0..<HTTPLimits.ticksPerPass {
                state.frontEnd.tick(nowMicroseconds: self.clock.load(ordering: .relaxed))
            }
        }
    }

    /// Makes all that waits durable and answers it.
    func commit() {
        onLoop { state in
            state.handler.commit()
            state.frontEnd.resumeWaiting()
        }
    }

    private func run() {
        repeat {
            state.frontEnd.run(nowMicroseconds: clock.load(ordering: .relaxed))
        } while state.frontEnd.mustRunAgain
    }

    private func loop() {
        while !isOver.load(ordering: .relaxed) {
            var descriptors = [
                pollfd(fd: state.frontEnd.epollDescriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wake.read, events: Int16(POLLIN), revents: 0),
                pollfd(fd: state.frontEnd.streamsDescriptor, events: Int16(POLLIN), revents: 0),
            ]
            poll(&descriptors, 3, -1)
            var bytes: (UInt64, UInt64) = (0, 0)
            if descriptors[1].revents != 0 { read(wake.read, &bytes, 16) }
            let taken = jobs.withLock { jobs in
                defer { jobs = [] }
                return jobs
            }
            for job in taken { job.body() }
            if !isOver.load(ordering: .relaxed) { run() }
        }
    }
}
