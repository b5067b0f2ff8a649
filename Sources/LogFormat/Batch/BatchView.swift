/// A whole batch in memory, checked to the last frame before the first one is given out: a batch is taken whole or not
/// at all. It owns no memory: the bytes given to `init` must outlive the view and its frames.
@safe
public struct BatchView {
    /// The decoded header.
    public let header: BatchHeader
    private let bytes: UnsafeRawBufferPointer
    /// The byte offset in the batch of the frame that `nextFrame` gives next; behind the last one, the byte count.
    public private(set) var nextFrameOffset = BatchHeader.byteCount

    /// Reads the header only: magic and sane lengths, no checksum. For finding out how many bytes `init(checking:)`
    /// needs, and for telling apart what cannot be a batch. Nothing in it may be believed yet.
    public static func header(at bytes: UnsafeRawBufferPointer) throws(FormatError) -> BatchHeader {
        try unsafe BatchHeader(decoding: bytes)
    }

    /// Checks the batch at the start of `bytes`; what follows it is ignored.
    ///
    /// `truncated`, `badMagic`, `badLength` and `checksumMismatch` are what a torn write, free space and stale bytes look
    /// like. `badFrameCount` and `damagedFrame` mean that a batch with a right checksum was wrong when it was written.
    /// Errors with `needsNewerVersion` mean a batch of a newer version.
    public init(checking bytes: UnsafeRawBufferPointer) throws(FormatError) {
        header = try unsafe BatchHeader(decoding: bytes)
        let byteCount = Int(header.byteCount)
        guard bytes.count >= byteCount else { throw .truncated(needed: byteCount, available: bytes.count) }
        guard unsafe header.crc == BatchHeader.checksum(of: bytes, byteCount: byteCount) else {
            throw .checksumMismatch
        }
        unsafe self.bytes = unsafe bytes.part(0..<byteCount)
        try checkFrames()
    }

    /// The next frame, nil behind the last one. Its bytes lie in the batch's. The frames were checked by `init`; only
    /// their headers are decoded again, so this throws only if the memory was changed in between.
    public mutating func nextFrame() throws(FormatError) -> FrameView? {
        guard unsafe nextFrameOffset < bytes.count else { return nil }
        let frame = try unsafe FrameView(decoding: bytes.part(nextFrameOffset..<bytes.count))
        nextFrameOffset += unsafe frame.bytes.count
        return frame
    }

    /// Checks each frame, and that they fill the batch exactly.
    private func checkFrames() throws(FormatError) {
        var offset = BatchHeader.byteCount
        for _ in 0..<header.frameCount {
            guard unsafe offset < bytes.count else { throw .badFrameCount }
            offset += try byteCountOfFrame(at: offset)
        }
        guard unsafe offset == bytes.count else { throw .badFrameCount }
    }

    private func byteCountOfFrame(at offset: Int) throws(FormatError) -> Int {
        do {
            return try unsafe FrameView(checking: bytes.part(offset..<bytes.count)).bytes.count
        } catch  where error.needsNewerVersion {
            throw error
        } catch {
            throw .damagedFrame(offset: offset)
        }
    }
}
