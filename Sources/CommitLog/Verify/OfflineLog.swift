import Glibc
import LogFormat

/// The write-ahead log of a data directory that no server has open, to be looked at and left as it is.
///
/// It shares the directory's lock with other readers and keeps servers out until it goes.
public final class OfflineLog {
    /// A checkpoint file.
    public struct CheckpointFile {
        /// Relative to the data directory.
        public let name: String
        /// What it says about the logs; nil if it is unreadable.
        public let payload: [UInt8]?
        /// Why it is unreadable.
        public let cause: String?
        let checkpoint: Checkpoint?
        /// What it says is at least what was true where this segment begins.
        public var anchor: Position? { checkpoint?.anchor.segment }

        /// What another store's checkpoint says is not true of this one.
        func unlessForeign(to storeID: StoreID) -> CheckpointFile {
            guard let checkpoint, checkpoint.storeID != storeID else { return self }
            return CheckpointFile(name: name, payload: nil, cause: "it belongs to another store", checkpoint: nil)
        }
    }

    public let directory: DataDirectory
    /// Oldest first.
    public let checkpoints: [CheckpointFile]
    public let fileSystem: any FileSystem
    let catalog: OfflineCatalog
    /// Of the file LOCK, locked against servers and shared with other readers.
    private let lockDescriptor: Int32

    /// Throws where the directory is not there, in use or unreadable, or a newer version wrote it.
    public init(path: String, fileSystem: any FileSystem = PosixFileSystem()) throws(CommitLogError) {
        directory = DataDirectory(path: path)
        self.fileSystem = fileSystem
        try Self.require(directory, fileSystem)
        let descriptor = try Self.lock(directory, fileSystem)
        do throws(CommitLogError) {
            let found = try Self.checkpoints(directory, fileSystem)
            let catalog = try OfflineCatalog(directory, fileSystem, checkpoints: found.compactMap(\.checkpoint))
            checkpoints = found.map { $0.unlessForeign(to: catalog.storeID) }
            self.catalog = catalog
        } catch {
            fileSystem.close(descriptor)
            throw error
        }
        lockDescriptor = descriptor
    }

    deinit { fileSystem.close(lockDescriptor) }

    /// The segments that are there, in order.
    public var segments: [SegmentHeader] { catalog.files.map(\.file.header) }

    /// Those of them whose headers could be read.
    public var readableSegments: [SegmentHeader] { catalog.files.filter(\.hasHeader).map(\.file.header) }

    /// Whose records they hold, as far as a header can be read that says so.
    public var content: SegmentContent {
        readableSegments.contains { $0.content == .singleLog } ? .singleLog : .namedLogs
    }

    /// Throws `otherContent` for anything but logs of the service.
    public func requireNamedLogs() throws(CommitLogError) {
        if content != .namedLogs { throw .otherContent(directory: directory.path, content) }
    }

    var newestCheckpoint: Checkpoint? { checkpoints.compactMap(\.checkpoint).max { $0.through < $1.through } }

    /// Judges the directory as a start does, by the same code, changing nothing: throws what a start refuses with.
    public func judge(_ visitor: any RecoveryVisitor) throws(CommitLogError) -> RecoveryReport {
        try Recovery(directory: directory, fileSystem: fileSystem, content: content, isReadOnly: true).run(visitor)?
            .report
            ?? { () -> RecoveryReport in
                var report = RecoveryReport()
                report.isNewStore = true
                return report
            }()
    }

    /// Goes through all segments from the first to the last, over damage to the next whole batch, and gives `visit` what
    /// is there. `salvagesTail`: whole frames of a torn last batch, which may never have been acknowledged, are given too.
    public func walk(
        salvagesTail: Bool = false, _ visit: @escaping (SalvageEvent) throws(CommitLogError) -> Void
    ) throws(CommitLogError) -> OfflineTail {
        for damage in catalog.damages { try visit(.damage(damage)) }
        var walk = SalvageWalk(self, salvagesTail: salvagesTail, visit)
        return try walk.run()
    }

    /// Names what a user has mistaken.
    private static func require(
        _ directory: DataDirectory, _ fileSystem: any FileSystem
    ) throws(CommitLogError) {
        let names: [String]
        do throws(FileError) { names = try fileSystem.list(directory.path) } catch {
            guard error.code == ENOENT || error.code == ENOTDIR else { throw .file(error) }
            throw .configuration("there is no directory \(directory.path)")
        }
        guard names.contains("wal") else {
            throw .configuration("\(directory.path) is no data directory of appendlog: it has no directory wal")
        }
    }

    /// Makes a lock file that is not there: a server would, too.
    private static func lock(
        _ directory: DataDirectory, _ fileSystem: any FileSystem
    ) throws(CommitLogError) -> Int32 {
        let (descriptor, isLocked) = try accessing { () throws(FileError) in
            let descriptor: Int32
            do throws(FileError) { descriptor = try fileSystem.open(directory.lockPath, .read) } catch {
                guard error.code == ENOENT else { throw error }
                descriptor = try fileSystem.open(directory.lockPath, .write)
            }
            do throws(FileError) { return (descriptor, try fileSystem.lock(descriptor, isShared: true)) } catch {
                fileSystem.close(descriptor)
                throw error
            }
        }
        guard isLocked else {
            fileSystem.close(descriptor)
            throw .inUse(directory: directory.path)
        }
        return descriptor
    }

    private static func checkpoints(
        _ directory: DataDirectory, _ fileSystem: any FileSystem
    ) throws(CommitLogError) -> [CheckpointFile] {
        var found: [CheckpointFile] = []
        let names: [String]
        do throws(FileError) { names = try fileSystem.list(directory.checkpointsPath) } catch {
            guard error.code == ENOENT else { throw .file(error) }
            return []
        }
        for name in names {
            guard let number = DataDirectory.number(of: name, ending: ".ckpt") else { continue }
            let shown = "checkpoint/\(name)"
            do throws(FormatError) {
                let contents = readable("\(directory.checkpointsPath)/\(name)", fileSystem)
                let checkpoint = try Checkpoint(contents: contents)
                guard checkpoint.through.rawValue == number else {
                    let cause =
                        "it covers the batches up to \(checkpoint.through), not up to the one that it is named by"
                    found.append(CheckpointFile(name: shown, payload: nil, cause: cause, checkpoint: nil))
                    continue
                }
                found.append(
                    CheckpointFile(name: shown, payload: checkpoint.payload, cause: nil, checkpoint: checkpoint))
            } catch {
                if case .unsupportedVersion = error { throw .unsupported(file: shown, what: error.description) }
                found.append(
                    CheckpointFile(name: shown, payload: nil, cause: error.description, checkpoint: nil))
            }
        }
        return found
    }

    /// The contents of a file; one that the disk cannot read counts as empty, and so as damaged.
    private static func readable(_ path: String, _ fileSystem: any FileSystem) -> [UInt8] {
        do throws(FileError) { return try fileSystem.contents(path) ?? [] } catch { return [] }
    }

    /// The index file of a segment; nil if there is none.
    public func index(of segment: Position) -> [UInt8]? {
        let path = directory.indexPath(segment)
        do throws(FileError) { return try fileSystem.contents(path) } catch { return [] }
    }
}
