import LogFormat

/// What the next batch must follow: the chain that ties each batch to the one before it.
public struct ChainState: Equatable, Sendable {
    /// The last batch, 0 before the first one.
    public var number: BatchNumber
    /// The checksum of that batch, 0 before the first one.
    public var crc: UInt32
    /// The epoch it was written in, 0 before the first one.
    public var epoch: Epoch

    public static let beginning = ChainState(number: BatchNumber(rawValue: 0), crc: 0, epoch: Epoch(rawValue: 0))

    public init(number: BatchNumber, crc: UInt32, epoch: Epoch) {
        self.number = number
        self.crc = crc
        self.epoch = epoch
    }

    init(after header: BatchHeader) {
        self.init(number: header.number, crc: header.crc, epoch: header.epoch)
    }

    var nextNumber: BatchNumber { number.next }
}

/// One segment file of the write-ahead log.
public struct Segment: Equatable, Sendable {
    public let header: SegmentHeader
    /// The chain before the first batch in it.
    public let chainStart: ChainState
    /// The position behind the last batch in it; what lies beyond is unused.
    public internal(set) var end: Position

    /// The position of its first byte.
    public var position: Position { header.position }
    public var byteCount: Int { Int(header.segmentBytes) }
    /// The position where its first batch begins: behind the block of the header.
    public var firstBatchPosition: Position { header.position + Int(header.blockBytes) }
    /// The position behind the whole file, where the next segment begins.
    public var limit: Position { header.position + byteCount }
    /// Bytes of its blocks that batches may still use.
    var remainingBytes: Int { limit - end }
}

/// `count` rounded up to a multiple of `unit`.
public func roundedUp(_ count: Int, to unit: Int) -> Int { (count + unit - 1) / unit * unit }
