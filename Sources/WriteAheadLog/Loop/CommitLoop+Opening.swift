import CommitLog
import Glibc

extension CommitLoop {
    /// What the loop's thread tells the one that opens the log.
    private final class Opening: @unchecked Sendable {
        // Sendable, as the lock guards the result.
        let lock = Lock()
        var result: Result<CommitLoop, WriteAheadLogError>?
    }

    /// Starts a thread that opens the log and then drives it. Returns when the log is open, or throws.
    static func open(
        _ directory: String, _ configuration: WriteAheadLog.Configuration, _ openLog: @escaping OpenLog
    ) throws(WriteAheadLogError) -> CommitLoop {
        let engine = try configuration.engineConfiguration(directory: directory)
        let opening = Opening()
        let body: @Sendable () -> Void = {
            nameThread("wal-loop")
            let result = Result { () throws(WriteAheadLogError) in
                try CommitLoop(openLog(engine, configuration.pendingBytes), configuration, directory: directory)
            }
            let loop = try? result.get()
            loop?.thread = pthread_self()
            opening.lock.withLock {
                opening.result = result
                opening.lock.wakeAll()
            }
            loop?.run()
        }
        let handle: pthread_t
        do throws(FileError) { handle = try startThread(body) } catch { throw WriteAheadLogError(error) }
        let result = opening.lock.withLock {
            while opening.result == nil { opening.lock.wait() }
            return opening.result!
        }
        if case .failure = result { _ = pthread_join(handle, nil) }
        return try result.get()
    }

    /// Opens the stream of records; called on the loop's thread.
    typealias OpenLog =
        @Sendable (
            _ engine: CommitLogConfiguration, _ pendingBytesMax: Int
        ) throws(WriteAheadLogError) -> RecordLog

    /// Refuses what comes later, and has the thread end when everything accepted was answered. False if that was done before.
    private func requestShutDown() -> Bool {
        lock.lock()
        let isFirst = !isShutDown
        isShutDown = true
        lock.wakeAll()
        unlockAndWake(if: true)
        return isFirst
    }

    /// Shuts down a log that nobody holds any more. On the loop's own thread nobody can wait for it.
    func abandon() {
        if isOnLoop {
            if requestShutDown() { _ = pthread_detach(thread) }
        } else {
            // A log that failed has told everybody who asked.
            try? shutDown()
        }
    }

    /// Refuses what comes later, and returns when everything accepted was answered and the directory is free. The first call
    /// waits for the thread; the others wait for the first.
    func shutDown() throws(WriteAheadLogError) {
        precondition(!isOnLoop, "a log cannot be shut down from one of its own callbacks")
        if requestShutDown() {
            _ = pthread_join(thread, nil)
            lock.withLock {
                hasStopped = true
                lock.wakeAll()
            }
        } else {
            lock.withLock { while !hasStopped { lock.wait() } }
        }
        if let poison { throw .poisoned(poison.description) }
    }
}
