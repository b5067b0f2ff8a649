import LogFormat

/// Where a frame was found.
public struct FramePlace: Sendable {
    /// The position of its first byte.
    public let position: Position
    /// Its file, relative to the data directory.
    public let file: String
    /// The number that its batch names; not certain where the batch is damaged.
    public let batch: BatchNumber
    /// Bytes of its batch.
    public let batchBytes: Int
    /// Where the frames of its batch end.
    public let batchEnd: Position

    public init(position: Position, file: String, batch: BatchNumber, batchBytes: Int, batchEnd: Position) {
        self.position = position
        self.file = file
        self.batch = batch
        self.batchBytes = batchBytes
        self.batchEnd = batchEnd
    }
}

/// What a walk over a data directory comes upon, in the order of the positions. Views are valid during the call only.
public enum SalvageEvent {
    /// What follows is in this segment.
    case segmentBegins(SegmentHeader, file: String)
    /// A frame whose checksum is right.
    case frame(FrameView, FramePlace)
    /// A frame whose checksum is wrong, with what its header says, if that makes sense: a hint, no more.
    case damagedFrame(FrameHeader?, byteCount: Int, FramePlace)
    /// The frames of a batch have been given.
    case batchEnds
    case damage(Damage)
    /// So many bytes of frames could not be told apart: what they held only later frames can show.
    case unknownBytes(Int)
    case segmentEnds(SegmentHeader, isWhole: Bool)
}

/// Where the batches of a log that was walked end.
public struct OfflineTail: Equatable, Sendable {
    /// The position behind the last batch.
    public internal(set) var position = Position.zero
    /// The number of the last batch, 0 if there is none.
    public internal(set) var lastBatch = BatchNumber.zero
    /// Bytes behind it of a batch that was never acknowledged; the next start cuts them. 0 for a whole end.
    public internal(set) var tornBytes = 0
    /// Whole batches.
    public internal(set) var batchCount = 0

    public init() {}
}
