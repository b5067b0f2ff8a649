/// Writes frames one after another behind room for the batch header, then the header. Nothing here allocates.
///
/// It owns no memory: `storage` is the caller's staging buffer, must outlive the builder, and must not be written to
/// between `seal` and the completion of the write.
///
/// A class, so that its owner changes nothing of its own while `fill` runs: as a struct in a class's property it was checked
/// for exclusive access at run time with each frame, a fifth of what an append costs (perf).
@safe
public final class BatchBuilder {
    private let storage: UnsafeMutableRawPointer
    private let capacityBytes: Int
    /// Header and frames so far, without padding: 64 when empty, and always a multiple of 8.
    public var byteCount: Int { writtenBytes }
    public var frameCount: Int { writtenFrames }
    // Private, so that they are not checked for exclusive access at run time.
    private var writtenBytes = BatchHeader.byteCount
    private var writtenFrames = 0
    private var isSealed = false
    /// The checksum of all frames up to some one, and where that ends: large frames are read once for both checksums.
    private var framesChecksum: UInt32 = 0
    private var checkedBytes = BatchHeader.byteCount
    private static let largeFrameBytesMin = 16 << 10

    /// Builds in `capacityBytes` bytes from `storage` on, which is 8-aligned. The capacity is a multiple of the block
    /// size of every `seal` and below 4 GiB.
    public init(storage: UnsafeMutableRawPointer, capacityBytes: Int) {
        precondition(UInt(bitPattern: storage) % 8 == 0, "a staging buffer is 8-aligned")
        precondition(capacityBytes >= BatchHeader.byteCount && capacityBytes <= Int(UInt32.max))
        unsafe self.storage = unsafe storage
        self.capacityBytes = capacityBytes
    }

    public var isEmpty: Bool { frameCount == 0 }

    /// Whether a frame of `frameBytes` (see `FrameHeader.frameBytes`) can still be added.
    public func fits(frameBytes: Int) -> Bool {
        frameBytes <= capacityBytes - byteCount
    }

    /// Adds one frame and returns its byte offset in the batch. Traps if it does not fit, if the batch is sealed, or if
    /// what was written could not be read again (bad fields, lengths that miss the payload).
    ///
    /// - Parameters:
    ///   - header: what the frame says; its `fieldsBytes` is taken from `fields`.
    ///   - fields: the encoded fields (`FieldWriter.bytes`), or nothing.
    ///   - fill: writes `recordCount` little-endian u32 lengths and `payloadBytes` bytes.
    public func addFrame(
        _ header: FrameHeader, fields: UnsafeRawBufferPointer,
        fill: (_ lengths: UnsafeMutableRawBufferPointer, _ payload: UnsafeMutableRawBufferPointer) -> Void
    ) -> Int {
        precondition(fields.count <= FrameHeader.fieldsBytesMax && fields.count % 8 == 0, "fields of a wrong length")
        var header = header
        header.fieldsBytes = UInt16(fields.count)
        let layout = FrameLayout(header)
        precondition(!isSealed, "a sealed batch takes no frames")
        precondition(fits(frameBytes: layout.byteCount), "the frame does not fit the batch")

        let frame = unsafe UnsafeMutableRawBufferPointer(start: storage + byteCount, count: layout.byteCount)
        unsafe frame[layout.padding].initializeMemory(as: UInt8.self, repeating: 0)
        unsafe UnsafeMutableRawBufferPointer(rebasing: frame[layout.fields]).copyMemory(from: fields)
        unsafe fill(
            UnsafeMutableRawBufferPointer(rebasing: frame[layout.lengths]),
            UnsafeMutableRawBufferPointer(rebasing: frame[layout.payload]))
        unsafe header.encode(at: frame.baseAddress!)
        let written = UnsafeRawBufferPointer(frame)
        unsafe FrameView.requireReadable(written, layout, header)
        let checksum = unsafe FrameHeader.checksum(of: written, byteCount: layout.byteCount)
        unsafe frame.baseAddress!.store(checksum, at: 4)

        let offset = writtenBytes
        writtenBytes += layout.byteCount
        writtenFrames += 1
        if layout.byteCount >= Self.largeFrameBytesMin {
            // A frame's own checksum begins behind its first 8 bytes.
            checkFrames(through: offset + 8)
            framesChecksum = CRC32C.joined(framesChecksum, checksum, byteCount: layout.byteCount - 8)
            checkedBytes = writtenBytes
        }
        return offset
    }

    private func checkFrames(through end: Int) {
        let bytes = unsafe UnsafeRawBufferPointer(start: storage + checkedBytes, count: end - checkedBytes)
        framesChecksum = unsafe CRC32C.checksum(bytes, continuing: framesChecksum)
        checkedBytes = end
    }

    /// The checksum of the batch, whose header is written.
    private func checksum() -> UInt32 {
        guard checkedBytes > BatchHeader.byteCount else {
            return unsafe BatchHeader.checksum(
                of: UnsafeRawBufferPointer(start: storage, count: writtenBytes), byteCount: writtenBytes)
        }
        checkFrames(through: writtenBytes)
        let header = unsafe UnsafeRawBufferPointer(start: storage, count: BatchHeader.byteCount)
        return unsafe CRC32C.joined(
            BatchHeader.checksum(of: header, byteCount: BatchHeader.byteCount), framesChecksum,
            byteCount: writtenBytes - BatchHeader.byteCount)
    }

    /// Adds a frame of another batch, byte for byte: a frame says nothing about the batch that it is in. Traps if it does
    /// not fit, or if the batch is sealed.
    public func addFrame(copying frame: FrameView) {
        precondition(!isSealed, "a sealed batch takes no frames")
        unsafe precondition(fits(frameBytes: frame.bytes.count), "the frame does not fit the batch")
        unsafe (storage + byteCount).copyMemory(from: frame.bytes.baseAddress!, byteCount: frame.bytes.count)
        writtenBytes += unsafe frame.bytes.count
        writtenFrames += 1
    }

    /// Writes the batch header and zeroes from the last frame to the next block. What has to be written to disk are the
    /// first `paddedBytes(blockBytes:)` bytes of the storage. Traps on a batch without frames.
    public func seal(
        number: BatchNumber, durableThrough: BatchNumber, storeID: StoreID, epoch: Epoch, previousCRC: UInt32,
        position: Position, blockBytes: Int
    ) -> BatchHeader {
        precondition(!isSealed && !isEmpty, "a batch is sealed once, and only with frames in it")
        var header = BatchHeader(
            byteCount: UInt32(byteCount), frameCount: UInt32(frameCount), number: number,
            durableThrough: durableThrough, storeID: storeID, epoch: epoch, previousCRC: previousCRC,
            position: position)
        precondition(header.hasSaneLengths, "a batch of such sizes could not be read again")
        let paddedBytes = header.paddedBytes(blockBytes: blockBytes)
        precondition(paddedBytes <= capacityBytes, "the padding does not fit the staging buffer")

        unsafe header.encode(at: storage)
        header.crc = checksum()
        unsafe storage.store(header.crc, at: 4)
        unsafe (storage + byteCount).initializeMemory(as: UInt8.self, repeating: 0, count: paddedBytes - byteCount)
        isSealed = true
        return header
    }

    /// Forgets all frames; the storage may be written again.
    public func reset() {
        writtenBytes = BatchHeader.byteCount
        writtenFrames = 0
        framesChecksum = 0
        checkedBytes = BatchHeader.byteCount
        isSealed = false
    }
}
