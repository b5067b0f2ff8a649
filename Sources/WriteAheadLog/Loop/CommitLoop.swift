import CommitLog
import Glibc
import LogFormat

/// The thread that drives a log, and what others share with it.
///
/// - Everything that changes is touched with the lock held, by whichever thread holds it; only `CommitLog.sleep` is called
///   without, and by the loop's thread alone.
/// - The directory is opened and let go on the loop's thread.
/// - A batch is told to those who wait for it after its records are durable for readers and in the statistics.
final class CommitLoop: @unchecked Sendable {
    // Sendable, as the lock guards everything that changes, `answers` aside, which keeps its own order.
    let configuration: WriteAheadLog.Configuration
    let directory: String
    let clock = SystemClock()
    let lock = Lock()
    let answers: Progress
    /// Bytes of the frames that a batch can hold.
    let frameBytesMax: Int
    let recovery: RecoveryReport
    let fileSystem: any FileSystem

    /// Bytes of a record whose frame fills a batch.
    var recordBytesMax: Int { frameBytesMax - FrameHeader.byteCount - 4 }

    /// Nil when the loop has ended.
    var records: RecordLog?
    /// The last statistics, from when the loop ended on.
    var lastStatistics: WriteAheadLog.Statistics?
    /// What the log failed with.
    var poison: PoisonCause?
    var observers = Observers()
    /// The loop sleeps, or is about to, and nobody has woken it.
    var isAsleep = false
    /// When it wakes by itself (monotonic microseconds); never, without a time to seal the log at.
    var sleepsUntil = Int64.max
    var isShutDown = false
    /// Something was staged without waking the loop, which has not gone round since.
    var hasUntold = false
    /// Something was staged since the loop last slept.
    var hasStaged = false
    /// Somebody else has ended a batch, and the loop was awake and did not see it.
    var hasNews = false
    /// The thread has nothing more to do for anybody.
    var isDone = false
    /// The thread has ended.
    var hasStopped = false
    /// Threads that wait until there is room.
    var waiterCount = 0
    var nextTokenID: UInt64 = 1

    /// Readable when somebody has something for the loop.
    private let wakeDescriptor: Int32
    private static let wakeSource = 1
    /// Set by `open`, before anybody else has the loop.
    var thread = pthread_t()

    /// Takes over a log that was opened on this thread.
    init(
        _ records: RecordLog, _ configuration: WriteAheadLog.Configuration, directory: String
    ) throws(WriteAheadLogError) {
        do throws(FileError) { wakeDescriptor = try makeEventDescriptor() } catch { throw WriteAheadLogError(error) }
        self.records = records
        self.configuration = configuration
        self.directory = directory
        answers = Progress(durable: records.log.durable.number)
        frameBytesMax = records.log.frameBytesMax
        recovery = RecoveryReport(records)
        fileSystem = records.log.fileSystem
        records.log.watch(wakeDescriptor, source: Self.wakeSource)
    }

    deinit { close(wakeDescriptor) }

    /// Whether this is the loop's own thread, which must not wait for itself. A later thread may be given the same number.
    var isOnLoop: Bool { isOnLoopThatRuns && !lock.withLock { isDone } }

    /// The same while `records` is there; with the lock held or not.
    var isOnLoopThatRuns: Bool { pthread_equal(pthread_self(), thread) != 0 }

    /// Drives the log until it is shut down and everything accepted is answered.
    func run() {
        var events = LoopEvents()
        var told: [Observers.Observer] = []
        lock.lock()
        guard let records else { preconditionFailure("a loop runs once") }
        while true {
            let now = clock.monotonicMicroseconds
            let upkeep = records.tick()
            if isShutDown { records.log.commitSoon() }
            let timeout = sleepTime(records.log.turn(), upkeep)
            if isShutDown && !records.log.isBusy { break }
            isAsleep = true
            hasUntold = false
            sleepsUntil = timeout.map { now + $0 } ?? .max
            lock.unlock()
            records.log.sleep(timeoutMicroseconds: timeout)
            lock.lock()
            isAsleep = false
            records.log.take(into: &events)
            let batch = take(events, records, &told)
            let isPoisoned = poison != nil
            lock.unlock()
            // Outside of the lock, as those who are woken may want it at once.
            if let batch { answers.release(batch) }
            if isPoisoned { answers.releaseAll() }
            for observer in told { observer.tell() }
            told.removeAll(keepingCapacity: true)
            lock.lock()
        }
        end(records)
    }

    /// The shortest of the times, nil for none; with the lock held.
    private func sleepTime(_ turn: Int64?, _ upkeep: Int64?) -> Int64? {
        // Where batches linger and one follows the other, whoever begins one need not wake the loop to count its linger: it looks
        // in time by itself.
        let linger = records?.log.configuration.lingerMicroseconds ?? 0
        let look = hasStaged && linger > 0 ? linger : .max
        defer { (hasNews, hasStaged) = (false, false) }
        if hasNews { return 0 }
        let time = min(turn ?? .max, upkeep ?? .max, look)
        return time == .max ? nil : time
    }

    /// It sleeps until somebody wakes it.
    var sleepsForever: Bool { isAsleep && sleepsUntil == .max }

    /// What was staged needs the loop before it wakes by itself; with the lock held.
    func needsTurn(_ records: RecordLog) -> Bool { records.log.needsTurn(before: sleepsUntil) }

    /// Takes in what a sleep brought; with the lock held. Returns the batch that has become durable.
    private func take(
        _ events: LoopEvents, _ records: RecordLog, _ told: inout [Observers.Observer]
    ) -> BatchNumber? {
        if events.sources.contains(Self.wakeSource) { clearEvent(wakeDescriptor) }
        if !events.finishedFiles.isEmpty { records.noteFinishedFile() }
        let batch = publish(events, records)
        if poison != nil {
            observers.takeAll(into: &told)
        } else if !observers.isEmpty {
            observers.take(through: records.log.durable.number, into: &told)
        }
        if waiterCount > 0 { lock.wakeAll() }
        return batch
    }

    /// Makes known what became of a batch; with the lock held. Returns the batch that has become durable.
    func publish(_ events: LoopEvents, _ records: RecordLog) -> BatchNumber? {
        if let batch = events.durable {
            records.publish(batch)
            answers.advance(to: batch.number)
        }
        if poison == nil, let cause = records.log.poisonCause {
            poison = cause
            answers.end()
        }
        return events.durable?.number
    }

    /// Seals the log and lets go of it; with the lock held, which it gives back.
    private func end(_ records: RecordLog) {
        // Everything is durable or poisoned; what is left is the seal, which nobody waits for.
        _ = records.log.finish(deadlineMicroseconds: .max)
        poison = records.log.poisonCause
        answers.end()
        lastStatistics = WriteAheadLog.Statistics(records)
        self.records = nil
        // A batch that a waiting thread has ended since the last look is known to all, and to these not yet.
        var told: [Observers.Observer] = []
        observers.takeAll(into: &told)
        lock.wakeAll()
        lock.unlock()
        answers.releaseAll()
        for observer in told { observer.tell() }
        lock.withLock { isDone = true }
        // Not left to the last reference: a thread that was refused may hold one a moment longer.
        records.log.close()
    }

    /// Has the loop look at what was staged, if it would not by itself. Called with the lock held, which it gives back.
    func unlockAndWake(if isDue: Bool) {
        let wakes = isDue && isAsleep
        if wakes { isAsleep = false }
        lock.unlock()
        if wakes { signalEvent(wakeDescriptor) }
    }

    /// Waits until the loop has gone round once more; with the lock held.
    func waitForRoom(_ records: RecordLog) {
        if needsTurn(records) && isAsleep {
            isAsleep = false
            signalEvent(wakeDescriptor)
        }
        waiterCount += 1
        lock.wait()
        waiterCount -= 1
    }

    /// The last batch with something in it that is not known to be durable, or else the last durable one; with the lock held.
    func lastBatch(_ records: RecordLog) -> BatchNumber {
        // What was staged is forgotten when the log fails: its batch is the one that never comes.
        let isLost = records.log.poisonCause != nil
        return isLost || records.log.pending.staged.frames > 0
            ? records.log.fillingNumber : records.log.fillingNumber.previous
    }
}

extension BatchNumber {
    fileprivate var previous: BatchNumber { BatchNumber(rawValue: rawValue - 1) }
}
