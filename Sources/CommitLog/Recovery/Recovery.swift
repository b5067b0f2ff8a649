import Glibc
import LogFormat

/// What takes the contents of the write-ahead log at a start.
public protocol RecoveryVisitor: AnyObject {
    /// The payload of the newest whole checkpoint; called before anything else, or not at all.
    func restore(_ payload: UnsafeRawBufferPointer) throws(CommitLogError)
    /// A segment before the place where the replay begins: its index must be loaded or made.
    func index(_ segment: Segment) throws(CommitLogError)
    /// The batches that follow are in this segment, in which the replay has not been yet.
    func begin(_ segment: Position) throws(CommitLogError)
    /// A batch, in order, from the checkpoint's anchor on. What it says may be in the checkpoint already.
    func replay(_ batch: inout BatchView, at position: Position) throws(CommitLogError)
    /// Everything was given, and nothing has been changed yet: the last moment to refuse.
    func finish() throws(CommitLogError)
}

extension RecoveryVisitor {
    public func begin(_ segment: Position) throws(CommitLogError) {}
    public func finish() throws(CommitLogError) {}
}

/// What a start found, for the first log line and the stats.
public struct RecoveryReport: Sendable, Equatable {
    public var isNewStore = false
    public var batchesReplayed = 0
    /// The name of the checkpoint that was used.
    public var checkpoint: String?
    /// Checkpoints that were unreadable; an older one, or the log itself, was used instead.
    public var ignoredCheckpoints: [String] = []
    /// Bytes (whole blocks) of a torn batch that were cut, and where they were saved.
    public var tornBytes = 0
    public var tornPosition: Position?
    public var savedTo: [String] = []
    public var microseconds: Int64 = 0

    /// One clause for a log line.
    public var summary: String {
        if isNewStore { return "a new store" }
        var text = "replayed \(batchesReplayed) batches"
        text += checkpoint.map { " from checkpoint \($0)" } ?? " from the beginning"
        if !ignoredCheckpoints.isEmpty { text += ", ignored unreadable \(ignoredCheckpoints.joined(separator: " "))" }
        if let tornPosition {
            text += ", cut a torn, never acknowledged batch of \(tornBytes) bytes at position \(tornPosition.rawValue)"
            text += " (saved to \(savedTo.joined(separator: " ")))"
        }
        return text
    }
}

/// The state that recovery ends with.
struct RecoveredLog {
    let storeID: StoreID
    /// The segments up to the active one, which is the last.
    let segments: [Segment]
    /// Segments behind it, which hold no batch.
    let spares: [SegmentCatalog.File]
    /// Segments that the checkpoint has retired, and of which something is still there.
    var retired: [Position] = []
    let chain: ChainState
    var report: RecoveryReport
}

/// Brings a data directory to a state that can be appended to, by the table in docs/DURABILITY.md.
struct Recovery {
    let directory: DataDirectory
    let fileSystem: any FileSystem
    /// Whose records are expected.
    var content = SegmentContent.namedLogs
    /// Judges, and changes nothing: neither leftovers are removed nor a torn tail is cut.
    var isReadOnly = false

    /// Returns nil for a directory in which no store has begun.
    func run(_ visitor: any RecoveryVisitor) throws(CommitLogError) -> RecoveredLog? {
        let checkpoints = CheckpointDirectory(directory: directory, fileSystem: fileSystem)
        let (checkpoint, ignored) = try checkpoints.newest()
        let catalog = try naming(ignored) { () throws(CommitLogError) in
            try SegmentCatalog(directory, fileSystem, checkpoint)
        }
        if catalog.files.contains(where: { $0.header.content != content }) {
            throw .otherContent(directory: directory.path, content == .namedLogs ? .singleLog : .namedLogs)
        }
        for path in try catalog.leftovers + checkpoints.leftovers() where !isReadOnly {
            try accessing { () throws(FileError) in try fileSystem.remove(path) }
        }
        guard let first = catalog.files.first else {
            guard checkpoint == nil && ignored.isEmpty else {
                throw .damaged(Damage(file: "wal", position: nil, cause: "there are checkpoints, and no segment"))
            }
            return nil
        }
        let start = try naming(ignored) { () throws(CommitLogError) in try startingPlace(catalog, checkpoint) }
        if let checkpoint { try restore(checkpoint, visitor) }
        var segments = earlierSegments(catalog, before: start.fileIndex)
        for segment in segments { try visitor.index(segment) }

        var report = RecoveryReport()
        report.checkpoint = checkpoint.map { DataDirectory.checkpointName($0.through) }
        report.ignoredCheckpoints = ignored
        var walk = try ChainWalk(catalog, fileSystem, fileIndex: start.fileIndex, chain: start.chain)
        var current = (fileIndex: start.fileIndex, chainStart: start.chain, end: walk.end)
        var chainBefore = start.chain
        try visitor.begin(catalog.files[start.fileIndex].header.position)
        while let (found, position) = try walk.next() {
            var batch = found
            if walk.fileIndex != current.fileIndex {
                segments.append(segment(catalog, current))
                current = (walk.fileIndex, chainBefore, walk.end)
                try visitor.begin(catalog.files[walk.fileIndex].header.position)
            }
            try visitor.replay(&batch, at: position)
            current.end = walk.end
            chainBefore = walk.chain
            report.batchesReplayed += 1
        }
        segments.append(segment(catalog, current))
        let torn = try walk.judgedTail(durableThrough: checkpoint?.through ?? .zero)
        try visitor.finish()
        try cut(torn, walk, catalog, &report)
        return RecoveredLog(
            storeID: first.header.storeID, segments: segments, spares: Array(catalog.files[(current.fileIndex + 1)...]),
            retired: catalog.retired, chain: walk.chain, report: report)
    }

    /// What is missing may have been retired by a checkpoint that is unreadable: damage then names that too.
    private func naming<Value>(
        _ ignored: [String], _ body: () throws(CommitLogError) -> Value
    ) throws(CommitLogError) -> Value {
        do throws(CommitLogError) { return try body() } catch {
            guard case .damaged(let damage) = error, !ignored.isEmpty else { throw error }
            let names = ignored.map { "checkpoint/\($0)" }.joined(separator: " ")
            throw .damaged(
                Damage(file: damage.file, position: damage.position, cause: "\(damage.cause) (unreadable: \(names))"))
        }
    }

    private func startingPlace(
        _ catalog: SegmentCatalog, _ checkpoint: Checkpoint?
    ) throws(CommitLogError) -> (fileIndex: Int, chain: ChainState) {
        let first = catalog.files[0]
        guard let checkpoint else {
            guard first.header.position.rawValue == 0 else {
                throw .damaged(
                    Damage(
                        file: "wal/\(first.name)", position: first.header.position,
                        cause: "it is the first segment, and no readable checkpoint says what was before it"))
            }
            return (0, .beginning)
        }
        let name = "checkpoint/\(DataDirectory.checkpointName(checkpoint.through))"
        guard checkpoint.storeID == first.header.storeID else {
            throw .damaged(Damage(file: name, position: nil, cause: "it belongs to another store than the segments"))
        }
        guard let index = catalog.files.firstIndex(where: { $0.header.position == checkpoint.anchor.segment }) else {
            let missing = DataDirectory.segmentName(checkpoint.anchor.segment)
            throw .damaged(
                Damage(
                    file: "wal/\(missing)", position: checkpoint.anchor.segment,
                    cause: "the segment is missing where \(name) says that the log goes on"))
        }
        let found = Set(catalog.files[..<index].map(\.header.position))
        if let missing = checkpoint.kept.first(where: { !found.contains($0) }) {
            throw .damaged(
                Damage(
                    file: "wal/\(DataDirectory.segmentName(missing))", position: missing,
                    cause: "the segment is missing, and \(name) says that it holds records that are kept"))
        }
        return (index, checkpoint.anchor.chain)
    }

    private func restore(_ checkpoint: Checkpoint, _ visitor: any RecoveryVisitor) throws(CommitLogError) {
        let result: Result<Void, CommitLogError> = unsafe checkpoint.payload.withUnsafeBytes { payload in
            do throws(CommitLogError) { return .success(unsafe try visitor.restore(payload)) } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// The segments before the scan. Where each of their batches ends is not known and not needed: a reader finds out.
    private func earlierSegments(_ catalog: SegmentCatalog, before index: Int) -> [Segment] {
        catalog.files[..<index].map { Segment(header: $0.header, chainStart: .beginning, end: $0.limit) }
    }

    private func segment(
        _ catalog: SegmentCatalog, _ place: (fileIndex: Int, chainStart: ChainState, end: Position)
    ) -> Segment {
        Segment(header: catalog.files[place.fileIndex].header, chainStart: place.chainStart, end: place.end)
    }

    /// Cuts a torn tail.
    private func cut(
        _ torn: [(fileIndex: Int, range: Range<Int>)], _ walk: ChainWalk, _ catalog: SegmentCatalog,
        _ report: inout RecoveryReport
    ) throws(CommitLogError) {
        guard !torn.isEmpty else { return }
        let cut = TornTail(directory: directory, fileSystem: fileSystem, epoch: walk.chain.epoch)
        for (fileIndex, range) in torn {
            if !isReadOnly { report.savedTo.append(try cut.remove(range, of: catalog.files[fileIndex])) }
            report.tornBytes += range.count
        }
        report.tornPosition = walk.end
    }
}
