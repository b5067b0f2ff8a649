import LogFormat

/// Decides when the files of a segment may go. A value without I/O.
///
/// A start may begin from either of the last two whole checkpoints. So a segment goes only when both were made durable by
/// this process, one after the other and under different names, both have their anchors behind it, and neither names it as
/// kept. From then on no start reads it, whatever of it is still there.
struct Retirement {
    /// Those that are being written, in their order.
    private var begun: [Checkpoint.Coverage] = []
    /// The last two that are durable, under different names.
    private var durable: [Checkpoint.Coverage] = []
    /// Segments of which a start found something and that its checkpoint had retired.
    private(set) var leftovers: [Position]
    /// Segments whose removal failed: tried again behind a later checkpoint.
    private var unremoved: [Position] = []

    init(leftovers: [Position]) {
        self.leftovers = leftovers
    }

    /// The last batch that a checkpoint of this process covers, written or still to be; zero for none.
    var lastThrough: BatchNumber { (begun.last ?? durable.last)?.through ?? .zero }

    /// One is being written.
    var isWriting: Bool { !begun.isEmpty }

    mutating func begin(_ checkpoint: Checkpoint) { begun.append(checkpoint.coverage) }

    /// The oldest of the checkpoints that were begun is durable, or failed.
    mutating func end(isDurable: Bool) {
        let checkpoint = begun.removeFirst()
        // It may be in place all the same, and so be the one that a start takes: two more are needed.
        guard isDurable else { return durable.removeAll() }
        // The same name again has replaced the file: that is one checkpoint still.
        if durable.last?.through == checkpoint.through { durable.removeLast() }
        durable.append(checkpoint)
        if durable.count > CommitLogLimits.checkpointCountKept { durable.removeFirst() }
    }

    /// The segments that go now, of those that are there and of what is left of others.
    mutating func take(from segments: [Segment]) -> [Position] {
        guard durable.count == CommitLogLimits.checkpointCountKept else { return [] }
        let candidates = leftovers + unremoved + segments.map(\.position)
        let dead = candidates.filter { segment in durable.allSatisfy { $0.hasRetired(segment) } }
        leftovers.removeAll { dead.contains($0) }
        unremoved.removeAll { dead.contains($0) }
        return dead
    }

    mutating func removalFailed(_ segment: Position) { unremoved.append(segment) }
}

extension Checkpoint {
    /// What a checkpoint says of the segments before it.
    struct Coverage {
        let through: BatchNumber
        let anchor: Position
        let kept: Set<Position>

        func hasRetired(_ segment: Position) -> Bool { segment < anchor && !kept.contains(segment) }
    }

    var coverage: Coverage { Coverage(through: through, anchor: anchor.segment, kept: Set(kept)) }
}

extension CommitLog {
    /// Takes note of a file of the maintenance thread's; has retired segments removed.
    func noteFinished(_ file: FinishedFile) {
        switch file.kind {
        case .index: return
        case .retired(let segment):
            if file.error != nil { retirement.removalFailed(segment) }
        case .checkpoint:
            retirement.end(isDurable: file.error == nil)
            let dead = Set(retirement.take(from: segments))
            guard !dead.isEmpty else { return }
            precondition(!dead.contains(active.position), "the active segment was retired")
            segments.removeAll { dead.contains($0.position) }
            for segment in dead.sorted() {
                descriptors.forget(segment)
                maintenance.post(.remove(segment))
            }
        }
    }

    /// Something of segments that were retired before this process is still there.
    public var hasRetiredLeftovers: Bool { !retirement.leftovers.isEmpty }

    /// A checkpoint is on its way to the disk.
    public var isWritingCheckpoint: Bool { retirement.isWriting }

    /// A checkpoint that is written now gets a name of its own: a batch is durable that the last one does not cover.
    public var isBeyondLastCheckpoint: Bool { durable.number > retirement.lastThrough }

    /// Has a batch written that holds nothing, if nothing else is on its way: the next checkpoint then covers more than the
    /// last one.
    public func advance() {
        guard builders[filling].isEmpty, inFlight == nil else { return }
        _ = stageMark(.seal)
    }
}
