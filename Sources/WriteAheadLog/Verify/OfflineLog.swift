import LogFormat

/// The write-ahead log of a data directory that no server has open, to be looked at and left as it is.
///
/// It shares the directory's lock with other readers and keeps servers out until it goes.
public final class OfflineLog {
    public let directory: DataDirectory
    /// The segments that are there, in order.
    public let segments: [SegmentHeader]
    private let fileSystem: any FileSystem
    private let catalog: SegmentCatalog
    private let lock: DirectoryLock

    /// Throws where the directory is in use or unreadable, and `damaged` where its files contradict each other.
    public init(path: String, fileSystem: any FileSystem = PosixFileSystem()) throws(WriteAheadLogError) {
        directory = DataDirectory(path: path)
        self.fileSystem = fileSystem
        let lock = try DirectoryLock(directory, isShared: true)
        catalog = try SegmentCatalog(directory, fileSystem)
        segments = catalog.files.map(\.header)
        self.lock = lock
    }

    /// Follows the chain of batches from the first segment on, checking every checksum on the way, and judges its end as
    /// a start would. `visit` gets each batch, its position, and the name of its file, relative to the directory.
    ///
    /// Throws `damaged` with the place where the chain breaks.
    public func walk(
        _ visit: (_ batch: inout BatchView, _ position: Position, _ file: String) throws(WriteAheadLogError) -> Void
    ) throws(WriteAheadLogError) -> OfflineTail {
        guard let first = catalog.files.first else {
            return OfflineTail(position: .zero, lastBatch: .zero, tornBytes: 0)
        }
        guard first.header.position == .zero else {
            throw .damaged(
                Damage(
                    file: "wal/\(first.name)", position: first.header.position,
                    cause: "it is the first segment, and those before it are missing"))
        }
        var walk = try ChainWalk(catalog, fileSystem, fileIndex: 0, chain: .beginning)
        while let (found, position) = try walk.next() {
            var batch = found
            try visit(&batch, position, "wal/\(catalog.files[walk.fileIndex].name)")
        }
        return try judgeTail(walk)
    }

    /// The checkpoint files: the name of each, relative to the directory, and whether it is whole.
    public func checkpoints() throws(WriteAheadLogError) -> [(name: String, isWhole: Bool)] {
        try checkpointFiles().map { ("checkpoint/\($0.name)", $0.checkpoint != nil) }
    }

    private func checkpointFiles() throws(WriteAheadLogError) -> [(name: String, checkpoint: Checkpoint?)] {
        try accessing { () throws(FileError) in
            var found: [(name: String, checkpoint: Checkpoint?)] = []
            for name in try fileSystem.list(directory.checkpointsPath)
            where DataDirectory.number(of: name, ending: ".ckpt") != nil {
                let bytes = try fileSystem.contents("\(directory.checkpointsPath)/\(name)") ?? []
                // Which way it is broken makes no difference: it is not used.
                found.append((name, unsafe bytes.withUnsafeBytes { unsafe try? Checkpoint(decoding: $0) }))
            }
            return found
        }
    }

    /// The same decision as recovery's, without cutting anything.
    private func judgeTail(_ walk: ChainWalk) throws(WriteAheadLogError) -> OfflineTail {
        let covered = try checkpointFiles().compactMap { $0.checkpoint?.through }.max() ?? .zero
        let torn = try walk.judgedTail(durableThrough: covered)
        return OfflineTail(
            position: walk.end, lastBatch: walk.chain.number, tornBytes: torn.reduce(0) { $0 + $1.range.count })
    }
}

/// Where the batches of a log that was walked end.
public struct OfflineTail: Equatable, Sendable {
    /// The position behind the last batch.
    public let position: Position
    /// The number of the last batch, 0 if there is none.
    public let lastBatch: BatchNumber
    /// Bytes behind it of a batch that was never acknowledged; the next start cuts them. 0 for a whole end.
    public let tornBytes: Int
}
