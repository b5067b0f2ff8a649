import Glibc
import LogFormat

/// Writes the segments of a store anew, frame by frame, into a directory that nobody serves.
///
/// Nothing in it counts before `finish` has returned: until then the caller keeps it under a name that no server opens.
@safe
public final class CopyWriter {
    /// Bytes of a batch's buffer, unless a larger batch is copied.
    private static let bufferBytesMin = 2 << 20
    /// Room beside the frames of a batch for those that are put in.
    private static let slackBytes = 64 << 10

    private let fileSystem: any FileSystem
    private let directory: DataDirectory
    private let storeID: StoreID
    private let segmentBytes: Int
    private let blockBytes: Int
    private let created: Timestamp
    private var buffer: UnsafeMutableRawBufferPointer
    private var builder: BatchBuilder
    private var chain = ChainState(number: .zero, crc: 0, epoch: Epoch(rawValue: 1))
    private var segment = Position.zero
    private var descriptor: Int32 = -1
    /// The file offset behind the last batch.
    private var offset = 0
    /// A frame of the kind `lost` is in the segment, or in the batch that is being built.
    private var holdsLost = (segment: false, batch: false)

    /// `directory` is made with all that a data directory has. A segment takes the batches of one of `segmentBytes`.
    public init(
        _ directory: DataDirectory, segmentBytes: Int, blockBytes: Int, created: Timestamp,
        fileSystem: any FileSystem = PosixFileSystem()
    ) throws(FileError) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.segmentBytes = segmentBytes
        self.blockBytes = blockBytes
        self.created = created
        storeID = .random()
        unsafe buffer = .allocate(byteCount: Self.bufferBytesMin, alignment: 4096)
        builder = unsafe BatchBuilder(storage: buffer.baseAddress!, capacityBytes: buffer.count)
        for path in [directory.path, directory.segmentsPath, directory.checkpointsPath] {
            try fileSystem.makeDirectory(path)
        }
        fileSystem.close(try fileSystem.open(directory.lockPath, .write))
        try beginSegment()
    }

    deinit {
        if descriptor >= 0 { fileSystem.close(descriptor) }
        unsafe buffer.deallocate()
    }

    /// Makes room for the frames of a batch, so that they can stay in one.
    public func reserve(batchBytes: Int) {
        let wanted = roundedUp(batchBytes + Self.slackBytes, to: blockBytes)
        guard builder.isEmpty, unsafe wanted > buffer.count else { return }
        unsafe buffer.deallocate()
        unsafe buffer = .allocate(byteCount: wanted, alignment: 4096)
        builder = unsafe BatchBuilder(storage: buffer.baseAddress!, capacityBytes: buffer.count)
    }

    /// Adds a frame of another store, byte for byte.
    public func add(_ frame: FrameView) throws(FileError) {
        try makeRoom(Int(frame.header.byteCount))
        builder.addFrame(copying: frame)
        if frame.header.kind == .lost { holdsLost.batch = true }
    }

    /// Adds a frame without records.
    public func add(_ header: FrameHeader, _ fields: FieldWriter) throws(FileError) {
        try makeRoom(FrameHeader.frameBytes(fieldsBytes: fields.bytes.count, recordCount: 0, payloadBytes: 0))
        unsafe fields.bytes.withUnsafeBytes { unsafe _ = builder.addFrame(header, fields: $0) { _, _ in } }
        if header.kind == .lost { holdsLost.batch = true }
    }

    /// Writes the frames that were added as one batch, if there are any.
    public func endBatch() throws(FileError) {
        guard !builder.isEmpty else { return }
        let padded = roundedUp(builder.byteCount, to: blockBytes)
        if offset + padded > segmentBytes {
            try endSegment()
            segment = segment + segmentBytes
            try beginSegment()
        }
        let header = builder.seal(
            number: chain.nextNumber, durableThrough: chain.number, storeID: storeID, epoch: chain.epoch,
            previousCRC: chain.crc, position: segment + offset, blockBytes: blockBytes)
        unsafe try fileSystem.write(
            descriptor, UnsafeRawBufferPointer(rebasing: buffer[..<padded]), at: UInt64(offset))
        chain = ChainState(after: header)
        offset += padded
        builder.reset()
        holdsLost = (holdsLost.segment || holdsLost.batch, false)
    }

    /// Seals the last batch and makes everything durable.
    public func finish(at timestamp: Timestamp) throws(FileError) {
        try endBatch()
        let seal = FrameHeader(
            kind: .seal, recordCount: 0, logID: .none, firstOffset: .zero, timestamp: timestamp, payloadBytes: 0)
        try add(seal, FieldWriter())
        try endBatch()
        try endSegment()
        for path in [directory.segmentsPath, directory.checkpointsPath, directory.path] {
            try fileSystem.synchronizeDirectory(path)
        }
    }

    private func makeRoom(_ bytes: Int) throws(FileError) {
        if builder.fits(frameBytes: bytes), roundedUp(builder.byteCount + bytes, to: blockBytes) <= room { return }
        try endBatch()
        reserve(batchBytes: bytes + BatchHeader.byteCount)
        precondition(builder.fits(frameBytes: bytes), "a frame is larger than the segment that it was in")
    }

    /// What a batch can take: the buffer, and a segment.
    private var room: Int { unsafe min(buffer.count, segmentBytes - blockBytes) }

    private func beginSegment() throws(FileError) {
        descriptor = try fileSystem.open(directory.segmentPath(segment), .createNew)
        offset = blockBytes
        holdsLost.segment = false
    }

    /// Fills the segment with zeros, so that no commit changes its metadata, writes the header, and syncs it.
    private func endSegment() throws(FileError) {
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { unsafe zeros.deallocate() }
        unsafe _ = memset(zeros.baseAddress!, 0, zeros.count)
        while offset < segmentBytes {
            let count = min(zeros.count, segmentBytes - offset)
            unsafe try fileSystem.write(
                descriptor, UnsafeRawBufferPointer(rebasing: zeros[..<count]), at: UInt64(offset))
            offset += count
        }
        let header = SegmentHeader(
            blockBytes: UInt32(blockBytes), storeID: storeID, position: segment, segmentBytes: UInt64(segmentBytes),
            created: created, incompatibleFeatures: holdsLost.segment ? SegmentHeader.lostRecordsFeature : 0)
        let block = unsafe UnsafeMutableRawBufferPointer(rebasing: zeros[..<blockBytes])
        unsafe header.encode(into: block)
        unsafe try fileSystem.write(descriptor, UnsafeRawBufferPointer(block), at: 0)
        try fileSystem.synchronizeData(descriptor)
        fileSystem.dropCache(descriptor)
        fileSystem.close(descriptor)
        descriptor = -1
    }
}
