import CommitLog
import LogFormat

/// A durable stream of records in a directory: many threads append, groups of their records reach the disk with one write
/// and one sync, and each append is told when its bytes are there.
///
/// ```swift
/// let log = try WriteAheadLog.open("/var/lib/example/log")
/// let token = try log.append(Array("hello".utf8))
/// let result = try token.wait()      // on the disk now, at result.position
/// try log.shutdown()
/// ```
///
/// - A token is completed only when its bytes are written and synced; none is left unanswered.
/// - Records are durable in the order of their positions: with a record, all before it are.
/// - Nothing is shown to readers before it is durable.
/// - One process has a directory open, once.
///
/// A log runs one thread. Everything here may be called from any thread.
public final class WriteAheadLog: Sendable {
    /// What opening found.
    public let recovery: RecoveryReport
    let loop: CommitLoop

    private init(_ loop: CommitLoop) {
        self.loop = loop
        recovery = loop.recovery
    }

    /// Shuts down a log that was forgotten, as `shutdown` does.
    deinit { loop.abandon() }

    /// Opens the log in a directory, making the directory and a new log where there is none, and recovers what an earlier
    /// process left: everything that was acknowledged is there, what was not may be, whole or not at all. Blocks meanwhile;
    /// about a segment is read.
    ///
    /// Throws `WriteAheadLogError`; nothing was changed then.
    public static func open(
        _ directory: String, _ configuration: Configuration = Configuration()
    ) throws(WriteAheadLogError) -> WriteAheadLog {
        try open(directory, configuration) { engine, pendingBytesMax throws(WriteAheadLogError) in
            do throws(CommitLogError) {
                return try RecordLog(pendingBytesMax: pendingBytesMax) { replay throws(CommitLogError) in
                    try CommitLog.open(engine, visitor: replay)
                }
            } catch { throw WriteAheadLogError(error) }
        }
    }

    /// As the public one, on a stream that is opened otherwise.
    static func open(
        _ directory: String, _ configuration: Configuration, _ openLog: @escaping CommitLoop.OpenLog
    ) throws(WriteAheadLogError) -> WriteAheadLog {
        WriteAheadLog(try CommitLoop.open(directory, configuration, openLog))
    }

    /// Bytes of the largest record.
    public var recordBytesMax: Int { loop.recordBytesMax }

    /// Blocks until everything that was accepted before is durable, without letting it linger. Throws `poisoned` or
    /// `shutDown`.
    public func flush() throws(WriteAheadLogError) { try loop.submitPending().wait() }

    /// As `flush`, without blocking a thread. Throws `CancellationError` when the task is cancelled.
    public func flush() async throws { _ = try await loop.submitPending().value }

    /// Starts the commit of what is waiting, without waiting for it and without letting it linger. Throws `shutDown`.
    public func submitPending() throws(WriteAheadLogError) { _ = try loop.submitPending() }

    /// Lets go of the records before a place. They are gone for readers when the token is completed; the disk space of
    /// whole segments comes back a moment later, at the latest about a second. The place must not be behind the last record
    /// accepted; a place that is gone already is no error.
    ///
    /// Works on a full disk too. Throws `beyondEnd`, and as `append(_:)` does.
    @discardableResult
    public func truncateFront(before first: RecordPosition) throws(WriteAheadLogError) -> CompletionToken {
        try loop.truncateFront(before: first)
    }

    /// A reader of the durable records from a place on; between two records it begins with the later one. It reads while
    /// others write, and may be asked again at the end.
    ///
    /// Throws `truncated`, `beyondEnd` or `shutDown`.
    public func records(from position: RecordPosition) throws(WriteAheadLogError) -> RecordReader {
        try RecordReader(loop, from: position)
    }

    /// Where the log stands. After `shutdown`: where it stood then.
    public var statistics: Statistics { loop.statistics }

    /// Refuses later appends, makes everything accepted durable, and returns when the last token was answered and the
    /// directory can be opened again. A second call is harmless. Must not be called from a callback of a token: it traps there.
    ///
    /// Throws `poisoned` if the log failed: some tokens were answered with that then.
    public func shutdown() throws(WriteAheadLogError) { try loop.shutDown() }
}
