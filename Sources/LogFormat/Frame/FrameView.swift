/// One frame in memory. It owns no memory: the bytes given to `init` must outlive the view and all that it returns.
@safe
public struct FrameView {
    public let header: FrameHeader
    /// The frame from its header to its padding.
    public let bytes: UnsafeRawBufferPointer
    private let layout: FrameLayout

    /// Checks the frame at the start of `bytes`: length, checksum, kind, fields, record lengths, and padding. What
    /// follows the frame is ignored.
    public init(checking bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= FrameHeader.byteCount else {
            throw .truncated(needed: FrameHeader.byteCount, available: bytes.count)
        }
        let byteCount = Int(unsafe bytes.integer(at: 0, as: UInt32.self))
        guard byteCount >= FrameHeader.byteCount && byteCount % 8 == 0 else { throw .badLength }
        guard byteCount <= bytes.count else { throw .truncated(needed: byteCount, available: bytes.count) }
        // Before the kind: a flipped bit must not pass for a newer version.
        guard unsafe bytes.integer(at: 4) == FrameHeader.checksum(of: bytes, byteCount: byteCount) else {
            throw .checksumMismatch
        }
        try unsafe self.init(decoding: bytes)
        try unsafe Self.checkParts(self.bytes, layout, header)
    }

    /// Takes the frame at the start of `bytes`, of which only the header is checked.
    init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        header = try unsafe FrameHeader(decoding: bytes)
        layout = FrameLayout(header)
        guard layout.byteCount <= bytes.count else {
            throw .truncated(needed: layout.byteCount, available: bytes.count)
        }
        unsafe self.bytes = unsafe bytes.part(0..<layout.byteCount)
    }

    /// The fields, from the first.
    public var fields: FieldReader {
        unsafe FieldReader(checked: bytes.part(layout.fields))
    }

    /// The bytes of the record at `index`, counted from 0 in this frame. Adds up the lengths before it: to walk many
    /// records, use `forEachRecord`. Traps beyond the last record.
    public func record(at index: Int) -> UnsafeRawBufferPointer {
        unsafe bytes.part(recordRange(at: index))
    }

    /// Where the record at `index` lies, counted from the frame's first byte. Costs like `record(at:)`.
    public func recordRange(at index: Int) -> Range<Int> {
        precondition(index >= 0 && index < Int(header.recordCount), "no such record in the frame")
        let start = recordStart(at: index)
        return start..<start + recordBytes(at: index)
    }

    /// Calls `body` with the index and the bytes of each record from `index` on, until it returns false. Beyond the last
    /// record there is nothing to do.
    public func forEachRecord(from index: Int, _ body: (_ index: Int, _ record: UnsafeRawBufferPointer) -> Bool) {
        precondition(index >= 0)
        guard index < Int(header.recordCount) else { return }
        var start = recordStart(at: index)
        for current in index..<Int(header.recordCount) {
            let end = start + recordBytes(at: current)
            guard unsafe body(current, bytes.part(start..<end)) else { return }
            start = end
        }
    }

    /// The records as they lie in the frame: their lengths (u32 each), and their bytes one behind the other.
    public var records: (lengths: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer) {
        unsafe (bytes.part(layout.lengths), bytes.part(layout.payload))
    }

    private func recordStart(at index: Int) -> Int {
        var start = layout.payload.lowerBound
        for earlier in 0..<index { start += recordBytes(at: earlier) }
        return start
    }

    private func recordBytes(at index: Int) -> Int {
        Int(unsafe bytes.integer(at: layout.lengths.lowerBound + 4 * index, as: UInt32.self))
    }

    /// Checks what lies behind the header: fields, record lengths, padding.
    private static func checkParts(
        _ bytes: UnsafeRawBufferPointer, _ layout: FrameLayout, _ header: FrameHeader
    ) throws(FormatError) {
        _ = try unsafe FieldReader(checking: bytes.part(layout.fields))
        var sum: UInt64 = 0
        for offset in stride(from: layout.lengths.lowerBound, to: layout.lengths.upperBound, by: 4) {
            sum += UInt64(unsafe bytes.integer(at: offset, as: UInt32.self))
        }
        guard sum == UInt64(header.payloadBytes) else { throw .badRecordLengths }
        guard unsafe bytes.isZero(in: layout.padding) else { throw .nonZeroPadding }
    }

    /// The other half of `init(checking:)`, asserted when a frame is written: a frame that recovery would refuse must
    /// never be acknowledged.
    static func requireReadable(_ bytes: UnsafeRawBufferPointer, _ layout: FrameLayout, _ header: FrameHeader) {
        precondition(header.hasSaneLengths, "the offsets of the frame's records overflow")
        do {
            try unsafe checkParts(bytes, layout, header)
        } catch {
            preconditionFailure("a frame was written that could not be read again")
        }
    }
}
