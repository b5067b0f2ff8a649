import CommitLog

extension WriteAheadLog {
    /// How a log is opened. Every field has a default that suits most programs.
    public struct Configuration: Sendable, Equatable {
        /// Whether writes go past the page cache.
        public enum DirectIO: Sendable, Equatable {
            /// Where the file system takes it and honours its sync.
            case auto
            /// Always; the log does not open where that is refused.
            case on
            /// Never: each write is followed by an `fdatasync`.
            case off
        }

        /// What carries writes to the kernel.
        public enum Engine: Sendable, Equatable {
            /// io_uring where the kernel lets us, else `syscalls`.
            case auto
            /// io_uring; the log does not open where that is refused.
            case ioURing
            /// Blocking calls on a thread of their own.
            case syscalls
        }

        /// What an append does that finds no room.
        public enum Overflow: Sendable, Equatable {
            /// It blocks the calling thread until there is room.
            case waits
            /// It throws `WriteAheadLogError.pendingLimit`, and nothing was accepted.
            case fails
        }

        /// Entries of the ring (8 to 4,096, default 256). More are never in use than a handful: a larger ring only takes
        /// memory that counts against the limit of locked memory on old kernels.
        public var ringEntries = Int(CommitLogLimits.ringEntryCountDefault)

        /// Microseconds that the first record of a batch waits for company at the longest (0 to 10,000,000, default 0). With 0
        /// a commit begins as soon as the disk is free: groups then form by themselves while the one before is written.
        public var commitLingerMicroseconds = 0

        /// Records with which a lingering batch is committed early (at least 1; none by default). Without effect while
        /// `commitLingerMicroseconds` is 0.
        public var commitRecords: Int?

        /// Records of a fixed group (at least 1; none by default): a batch then holds so many records, and later ones wait for
        /// the next batch. Takes the place of `commitRecords` and `commitLingerMicroseconds`. An `append(contentsOf:)` of more
        /// records is a group by itself.
        public var groupRecords: Int?

        /// Microseconds after which a fixed group is committed though it is not full (1 to 10,000,000, default 1,000).
        /// Without effect while `groupRecords` is nil.
        public var groupMicroseconds = 1_000

        /// Bytes of the largest batch (16 KiB to 256 MiB, default 1.5 MiB), which bounds the largest record: see
        /// `WriteAheadLog.recordBytesMax`. Two buffers of this size stay in memory; up to 3.5 MiB together they are registered
        /// with the kernel.
        public var batchBytes = CommitLogLimits.batchBytesDefault

        /// Whether writes go past the page cache (default `.auto`).
        public var directIO = DirectIO.auto

        /// What carries writes to the kernel (default `.auto`).
        public var engine = Engine.auto

        /// Bytes of each segment file (a multiple of 1 MiB up to 2 GiB, default 64 MiB; room for a batch and two blocks). A segment
        /// is written with zeros before it is used, so that a commit changes no metadata and never meets a full disk. The
        /// disk holds one segment more than the records need. Segments that are there keep their size.
        public var segmentBytes = CommitLogLimits.segmentBytesDefault

        /// Bytes of frames (records and 48 to 56 bytes for each append) that may be accepted and not yet durable (at least
        /// 1; by default both buffers may fill). One append that is alone passes whatever its size.
        public var pendingBytes = Int.max

        /// What an append does when `pendingBytes` are pending, when both buffers are full, or while the next segment
        /// is being made.
        public var overflow = Overflow.waits

        /// Accept file systems on which a sync may do nothing (tmpfs, overlayfs). For tests (default false).
        public var allowsUnsafeFileSystem = false

        /// All defaults.
        public init() {}
    }
}

extension WriteAheadLog.Configuration {
    /// The engine's configuration. Throws `WriteAheadLogError.configuration` where a field is out of its limits.
    func engineConfiguration(directory: String) throws(WriteAheadLogError) -> CommitLogConfiguration {
        try check(ringEntries, 8...4096, "ringEntries")
        try check(commitLingerMicroseconds, 0...10_000_000, "commitLingerMicroseconds")
        try check(commitRecords ?? 1, 1...Int.max, "commitRecords")
        try check(groupRecords ?? 1, 1...Int.max, "groupRecords")
        try check(groupMicroseconds, 1...10_000_000, "groupMicroseconds")
        try check(batchBytes, 16 << 10...CommitLogLimits.batchBytesMax, "batchBytes")
        try check(segmentBytes, 1 << 20...CommitLogLimits.segmentBytesMax, "segmentBytes")
        try check(pendingBytes, 1...Int.max, "pendingBytes")
        guard segmentBytes % (1 << 20) == 0 else {
            throw .configuration("segmentBytes \(segmentBytes) is not a multiple of 1 MiB")
        }
        guard segmentBytes >= batchBytes + CommitLogLimits.segmentBytesOverheadMax else {
            throw .configuration("segmentBytes \(segmentBytes) cannot hold a batch of batchBytes \(batchBytes)")
        }
        var wal = CommitLogConfiguration(directory: directory)
        wal.segmentBytes = segmentBytes
        wal.batchBytesMax = batchBytes
        wal.reserveBytes = wal.reserveBytesDefault
        wal.lingerMicroseconds = Int64(groupRecords == nil ? commitLingerMicroseconds : groupMicroseconds)
        wal.lingerRecordsMax = groupRecords ?? commitRecords ?? .max
        wal.batchRecordsMax = groupRecords ?? .max
        wal.ringEntryCount = UInt32(ringEntries)
        wal.recentBytesMax = 0
        wal.content = .singleLog
        wal.allowsUnsafeFileSystem = allowsUnsafeFileSystem
        wal.engine =
            switch engine {
            case .auto: .auto
            case .ioURing: .ioURing
            case .syscalls: .syscalls
            }
        wal.mode =
            switch directIO {
            case .auto: .auto
            case .on: .direct
            case .off: .buffered
            }
        return wal
    }

    private func check(_ value: Int, _ limits: ClosedRange<Int>, _ name: String) throws(WriteAheadLogError) {
        guard !limits.contains(value) else { return }
        let upper = limits.upperBound == .max ? "" : " and at most \(limits.upperBound)"
        throw .configuration("\(name) \(value) is not at least \(limits.lowerBound)\(upper)")
    }
}
