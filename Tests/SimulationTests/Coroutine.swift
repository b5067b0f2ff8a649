import Glibc

/// A thread that runs only while the one that owns it waits for it: so a job of its own stops between two calls on the
/// disk and goes on later, and all that happens has one order, drawn from the seed.
final class Coroutine: @unchecked Sendable {
    private let inside = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    private let outside = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    private var body: (() -> Void)?
    private var isStopping = false
    private var thread: pthread_t?
    /// The seed of the run, for the notice when the process traps here.
    private let seed: UInt64
    /// True while the thread runs.
    private(set) var isInside = false
    /// Calls that the thread may make before it is stopped again.
    private var callsLeft = 0

    init(seed: UInt64) {
        self.seed = seed
        sem_init(inside, 0, 0)
        sem_init(outside, 0, 0)
    }

    deinit {
        sem_destroy(inside)
        sem_destroy(outside)
        inside.deallocate()
        outside.deallocate()
    }

    /// A body was begun and has not ended.
    var isUnderWay: Bool { body != nil }

    func begin(_ body: @escaping () -> Void) {
        precondition(self.body == nil, "a second job was begun while one is under way")
        self.body = body
        if thread == nil { start() }
    }

    /// Lets the body go on for so many calls, or to its end.
    func resume(calls: Int) {
        callsLeft = calls
        isInside = true
        sem_post(inside)
        Self.wait(outside)
        isInside = false
    }

    /// Called inside before each call on the disk.
    func beforeCall() {
        if callsLeft == 0 {
            sem_post(outside)
            Self.wait(inside)
        }
        callsLeft -= 1
    }

    /// Ends the thread. No body is under way.
    func stop() {
        guard let thread else { return }
        precondition(body == nil, "a job is under way at the end")
        isStopping = true
        sem_post(inside)
        pthread_join(thread, nil)
        self.thread = nil
    }

    private func start() {
        var handle = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(
            &handle, nil,
            { context in
                Unmanaged<Coroutine>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context)
        precondition(code == 0, "the kernel gives no thread")
        thread = handle
    }

    private func run() {
        TrapNotice.arm(seed: seed)
        while true {
            Self.wait(inside)
            if isStopping { return }
            body!()
            body = nil
            sem_post(outside)
        }
    }

    /// Interrupted waits go on.
    private static func wait(_ semaphore: UnsafeMutablePointer<sem_t>) {
        while sem_wait(semaphore) != 0 {}
    }
}
