/// Every limit of the write-ahead log, with its unit and its reason.
public enum CommitLogLimits {
    /// Bytes of a segment file unless configured: large enough that a turn is rare, small enough to scan in 0.1 s.
    public static let segmentBytesDefault = 64 << 20
    /// The reserve is the segment divided by this, unless configured.
    static let reserveShare = 16
    /// Bytes of a segment's header and of the padding of a batch, where the blocks are the largest that disks have.
    public static let segmentBytesOverheadMax = 2 * 65_536
    /// Bytes of the largest segment: file offsets inside one are kept in 32 bits.
    public static let segmentBytesMax = 2 << 30
    /// Bytes of one batch unless configured: holds the largest request, and two of them can be registered with the
    /// kernel under the usual locked-memory limit.
    public static let batchBytesDefault = 1536 << 10
    /// Bytes of the largest batch that may be configured.
    public static let batchBytesMax = 256 << 20
    /// Bytes of the smallest block; larger where direct I/O or a segment already written asks for it.
    public static let blockBytesMin = 4096
    /// Bytes of staging and ring that are registered with the kernel: half of the usual 8 MiB locked-memory limit is
    /// left for a predecessor whose memory the kernel gives back late.
    public static let registeredBytesMax = 3584 << 10
    /// Entries of the ring: one commit write and its sync, the polls, and the reads of many clients.
    public static let ringEntryCountDefault: UInt32 = 256
    /// Bytes of the batches that stay in memory for readers at the tail.
    public static let recentBytesDefault = 16 << 20
    /// Descriptors of sealed segments kept open for readers.
    public static let openSegmentCountMax = 64
    /// Bytes a second at which a spare segment is zero-filled at least: faster hurts the commits beside it.
    public static let fillBytesPerSecondMin = 50_000_000
    /// Bytes of one write of the zero-fill beside commits, and while appends wait for it.
    public static let fillWriteBytes = 64 << 10
    public static let hurriedFillWriteBytes = 1 << 20
    /// Microseconds without an append after which the last batch is sealed.
    public static let sealAfterMicroseconds: Int64 = 1_000_000
    /// Microseconds after which preparing a spare segment is tried again when it failed.
    public static let spareRetryMicroseconds: Int64 = 1_000_000
    /// Microseconds between two checkpoints that are only there to have segments retired.
    public static let retirementMicroseconds: Int64 = 500_000
    /// Microseconds that a log which goes waits for what is with the disk, before it leaves its memory to the kernel.
    static let giveUpMicroseconds: Int64 = 1_000_000
    /// Milliseconds that a start waits for the writes of a killed predecessor: longer than the kernel lets a disk stall
    /// before it gives a request up (30 s for SCSI and NVMe).
    public static let predecessorWaitMilliseconds = 60_000
    /// Checkpoints kept: the newest may be the one a crash tore.
    public static let checkpointCountKept = 2
    /// Bytes by which a retired segment is shortened at once: a whole one costs the commits beside it up to 9 ms.
    public static let removalStepBytes = 4 << 20
    /// Bytes read at once when segments are scanned.
    public static let scanWindowBytes = 4 << 20
}
