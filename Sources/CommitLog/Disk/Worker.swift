import CLinux
import Glibc
import Synchronization

/// A named thread that performs blocking jobs one after another, in order, and puts the results in a mailbox.
/// The owner is woken by an eventfd that it watches.
public final class Worker<Job: Sendable, Outcome: Sendable>: Sendable {
    private struct Mailbox {
        var jobs: [Job] = []
        var outcomes: [Outcome] = []
        var isStopping = false
    }

    /// Becomes readable when an outcome has been put into the mailbox.
    public let outcomeDescriptor: Int32
    private let jobDescriptor: Int32
    private let mailbox = Mutex(Mailbox())
    private let perform: @Sendable (Job) -> Outcome
    private let thread = Mutex<pthread_t?>(nil)

    /// `name` has at most 15 bytes. `perform` runs on the worker's thread.
    public init(name: String, perform: @escaping @Sendable (Job) -> Outcome) throws(FileError) {
        self.perform = perform
        outcomeDescriptor = try makeEventDescriptor()
        jobDescriptor = try makeEventDescriptor()
        try start(name: name)
    }

    deinit {
        close(outcomeDescriptor)
        close(jobDescriptor)
    }

    /// Queues a job.
    public func post(_ job: Job) {
        mailbox.withLock { $0.jobs.append(job) }
        signalEvent(jobDescriptor)
    }

    /// Takes what has been finished since the last call and re-arms the descriptor.
    public func takeOutcomes() -> [Outcome] {
        clearEvent(outcomeDescriptor)
        return mailbox.withLock { box in
            let outcomes = box.outcomes
            box.outcomes.removeAll(keepingCapacity: true)
            return outcomes
        }
    }

    /// Lets the queued jobs finish and ends the thread. A second call is harmless.
    public func stop() {
        mailbox.withLock { $0.isStopping = true }
        signalEvent(jobDescriptor)
        let handle = thread.withLock { handle in
            defer { handle = nil }
            return handle
        }
        if let handle { _ = pthread_join(handle, nil) }
    }

    private func start(name: String) throws(FileError) {
        // The thread keeps the worker alive until it ends.
        let body: @Sendable () -> Void = { [self] in
            nameThread(name)
            run()
        }
        let handle = try startThread(body)
        thread.withLock { $0 = handle }
    }

    private func run() {
        while true {
            let (jobs, isStopping) = mailbox.withLock { box in
                let taken = (box.jobs, box.isStopping)
                box.jobs.removeAll(keepingCapacity: true)
                return taken
            }
            for job in jobs {
                let outcome = perform(job)
                mailbox.withLock { $0.outcomes.append(outcome) }
                signalEvent(outcomeDescriptor)
            }
            if jobs.isEmpty {
                if isStopping { return }
                awaitEvent(jobDescriptor)
            }
        }
    }
}

/// Names the calling thread, as `top -H` shows it; at most 15 bytes.
public func nameThread(_ name: String) {
    unsafe name.withCString { unsafe clinux_name_thread($0) }
}

/// Starts a thread; it must be joined by its owner. Fails at the limit of processes (`ulimit -u`, `pids.max`).
public func startThread(_ body: @escaping @Sendable () -> Void) throws(FileError) -> pthread_t {
    let box = unsafe Unmanaged.passRetained(ThreadBody(run: body))
    var handle = pthread_t()
    let code = unsafe pthread_create(
        &handle, nil,
        { context in
            unsafe Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, box.toOpaque())
    guard code == 0 else {
        unsafe box.release()
        throw FileError(operation: "pthread_create", path: "a thread", code: code)
    }
    return handle
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
}

/// An eventfd, for waking a loop from another thread.
public func makeEventDescriptor() throws(FileError) -> Int32 {
    let descriptor = clinux_eventfd()
    guard descriptor >= 0 else { throw FileError(operation: "eventfd", path: "-", code: -descriptor) }
    return descriptor
}

/// Makes an eventfd readable.
public func signalEvent(_ descriptor: Int32) {
    var one: UInt64 = 1
    // Fails only when the counter is full, and then the descriptor is readable already.
    unsafe _ = write(descriptor, &one, 8)
}

/// Makes an eventfd unreadable until it is signalled again.
public func clearEvent(_ descriptor: Int32) {
    var count: UInt64 = 0
    unsafe _ = read(descriptor, &count, 8)
}

private func awaitEvent(_ descriptor: Int32) {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    unsafe _ = poll(&entry, 1, -1)
    clearEvent(descriptor)
}
