import LogFormat

/// Which engine is wanted.
public enum EngineChoice: String, Sendable, CaseIterable {
    /// io_uring where the kernel lets us, else syscalls.
    case auto
    case ioURing = "io_uring"
    case syscalls
}

/// Which write mode is wanted.
public enum ModeChoice: String, Sendable, CaseIterable {
    /// Direct where the file system takes it and honours its sync, else buffered.
    case auto
    case direct
    case buffered
}

/// How a write-ahead log is opened.
public struct CommitLogConfiguration: Sendable {
    /// The data directory; it is made if it is missing.
    public var directory: String
    /// Bytes of the segments that are made from now on; a multiple of 1 MiB.
    public var segmentBytes = CommitLogLimits.segmentBytesDefault
    /// Bytes of the largest batch, which bounds the largest frame.
    public var batchBytesMax = CommitLogLimits.batchBytesDefault
    /// Bytes at the end of the active segment that records do not fill unless the next segment is ready: a full disk still
    /// takes what frees space on it.
    public var reserveBytes = 0
    /// Microseconds that the first frame of a batch waits for company; 0 never waits.
    public var lingerMicroseconds: Int64 = 0
    /// Records with which a batch does not wait any longer.
    public var lingerRecordsMax = Int.max
    /// Records of the largest batch; one frame with more of them makes a batch by itself.
    public var batchRecordsMax = Int.max
    /// Entries of the ring: reads beyond them wait for their turn. The kernel rounds up to a power of two.
    public var ringEntryCount = CommitLogLimits.ringEntryCountDefault
    /// Bytes of durable batches that stay in memory for readers at the tail; 0 keeps none.
    public var recentBytesMax = CommitLogLimits.recentBytesDefault
    /// What the frames say; a store of the other content does not open.
    public var content = SegmentContent.namedLogs
    public var engine = EngineChoice.auto
    public var mode = ModeChoice.auto
    /// Accept file systems on which a sync may do nothing (tmpfs, overlayfs).
    public var allowsUnsafeFileSystem = false

    public init(directory: String) {
        self.directory = directory
    }

    /// From so many staged bytes on a batch does not linger.
    var lingerBytesMax: Int { batchBytesMax / 2 }

    /// A reserve that leaves room for the largest batch: a sixteenth of a segment, where that is possible.
    public var reserveBytesDefault: Int {
        let room = segmentBytes - batchBytesMax - CommitLogLimits.segmentBytesOverheadMax
        return max(0, min(segmentBytes / CommitLogLimits.reserveShare, room))
    }

    /// Throws where the sizes contradict each other. `blockBytes` is what the disk asks for.
    func check(blockBytes: Int) throws(CommitLogError) {
        guard lingerMicroseconds >= 0 else {
            throw .configuration("--commit-linger-microseconds \(lingerMicroseconds) is negative")
        }
        guard batchBytesMax >= 4 * blockBytes, batchBytesMax <= CommitLogLimits.batchBytesMax else {
            throw .configuration(
                "--batch-bytes-max \(batchBytesMax), or what --request-body-bytes-max makes of it, is not between "
                    + "\(4 * blockBytes) and \(CommitLogLimits.batchBytesMax)"
            )
        }
        guard segmentBytes % (1 << 20) == 0, segmentBytes <= CommitLogLimits.segmentBytesMax else {
            throw .configuration(
                "--segment-bytes \(segmentBytes) is not a multiple of 1 MiB up to \(CommitLogLimits.segmentBytesMax)"
            )
        }
        guard segmentBytes >= batchBytesMax + 2 * blockBytes else {
            throw .configuration(
                "--segment-bytes \(segmentBytes) cannot hold the largest batch, of \(batchBytesMax) bytes: raise it, or lower "
                    + "--batch-bytes-max or --request-body-bytes-max")
        }
        guard reserveBytes >= 0, reserveBytes <= segmentBytes - batchBytesMax - 2 * blockBytes else {
            throw .configuration(
                "a reserve of \(reserveBytes) bytes leaves no room for the largest batch, of \(batchBytesMax) bytes, in a "
                    + "segment of \(segmentBytes)")
        }
    }
}
