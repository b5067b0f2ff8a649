import Glibc
import LogFormat
import Synchronization

/// A file that the maintenance thread has put in place for the log's owner, or could not.
public struct FinishedFile: Sendable {
    public enum Kind: Sendable, Equatable {
        /// The index of the sealed segment at this position.
        case index(Position)
        case checkpoint
        /// What was left of the retired segment at this position is gone.
        case retired(Position)
    }

    public let kind: Kind
    public let error: FileError?
}

/// Performs jobs one after another, and keeps their outcomes until they are taken.
protocol MaintenanceQueue: AnyObject, Sendable {
    /// Becomes readable when there is an outcome.
    var outcomeDescriptor: Int32 { get }
    /// The jobs run while the loop runs, so that a fast one slows the commits.
    var runsBesideTheLoop: Bool { get }
    func post(_ job: Maintenance.Job)
    func takeOutcomes() -> [Maintenance.Outcome]
    /// Finishes what was posted.
    func stop()
}

extension Worker: MaintenanceQueue where Job == Maintenance.Job, Outcome == Maintenance.Outcome {
    var runsBesideTheLoop: Bool { true }
}

/// The thread that does what blocks: prepares and removes segments, writes indexes and checkpoints.
final class Maintenance: Sendable {
    enum Job: Sendable {
        case prepare(SegmentHeader)
        case writeIndex(Position, [UInt8])
        case writeCheckpoint(Checkpoint)
        case remove(Position)
    }

    enum Outcome: Sendable {
        case prepared(SegmentHeader, Result<Int32, FileError>)
        case finished(FinishedFile)
    }

    private let queue: any MaintenanceQueue
    private let preparation: SegmentPreparation

    init(
        _ directory: DataDirectory, _ fileSystem: any FileSystem, _ mode: WriteMode, _ host: any Host
    ) throws(CommitLogError) {
        let preparation = SegmentPreparation(fileSystem: fileSystem, directory: directory, mode: mode)
        self.preparation = preparation
        queue = try host.maintenance { job in Self.perform(job, directory, fileSystem, preparation) }
    }

    var outcomeDescriptor: Int32 { queue.outcomeDescriptor }

    func post(_ job: Job) { queue.post(job) }

    func takeOutcomes() -> [Outcome] { queue.takeOutcomes() }

    /// Lets a zero-fill go as fast as the disk takes it.
    func hurry() { preparation.fillBytesPerSecond.store(0, ordering: .relaxed) }

    /// Lets a zero-fill go at this pace, which leaves the commits beside it alone.
    func pace(bytesPerSecond: Int) {
        guard queue.runsBesideTheLoop else { return }
        preparation.fillBytesPerSecond.store(bytesPerSecond, ordering: .relaxed)
    }

    /// Finishes what was posted, as fast as it can, and ends the thread.
    func stop() {
        hurry()
        queue.stop()
    }

    private static func perform(
        _ job: Job, _ directory: DataDirectory, _ fileSystem: any FileSystem, _ preparation: SegmentPreparation
    ) -> Outcome {
        switch job {
        case .prepare(let header):
            do throws(FileError) { return .prepared(header, .success(try preparation.prepare(header))) } catch {
                return .prepared(header, .failure(error))
            }
        case .writeIndex(let position, let bytes):
            return finished(.index(position)) { () throws(FileError) in
                try fileSystem.replace(directory.segmentsPath, DataDirectory.indexName(position), with: bytes)
            }
        case .writeCheckpoint(let checkpoint):
            return finished(.checkpoint) { () throws(FileError) in
                try CheckpointDirectory(directory: directory, fileSystem: fileSystem).write(checkpoint)
            }
        case .remove(let position):
            return finished(.retired(position)) { () throws(FileError) in
                try SegmentRemoval(directory: directory, fileSystem: fileSystem).remove(position)
            }
        }
    }

    private static func finished(_ kind: FinishedFile.Kind, _ body: () throws(FileError) -> Void) -> Outcome {
        do throws(FileError) {
            try body()
            return .finished(FinishedFile(kind: kind, error: nil))
        } catch {
            return .finished(FinishedFile(kind: kind, error: error))
        }
    }
}

/// How fast the log grows, so that the next segment is ready before it is needed.
struct FillRate {
    private var since: Int64 = 0
    private var bytesThen: UInt64 = 0

    /// The pace for a zero-fill: twice what has come in of late, and at least what does no harm.
    mutating func pace(now: Int64, bytesWritten: UInt64) -> Int {
        let elapsed = max(1, now - since)
        let rate = Int(bytesWritten - bytesThen) * 1_000_000 / Int(elapsed)
        if elapsed > 1_000_000 {
            since = now
            bytesThen = bytesWritten
        }
        return max(CommitLogLimits.fillBytesPerSecondMin, 2 * rate)
    }
}
