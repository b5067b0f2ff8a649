import LogFormat

/// Saves what can be told apart of a stretch in which no batch is whole.
///
/// A frame counts only if it begins where a frame of a damaged batch must begin, and its own checksum is right: behind
/// the batch's header or a frame that counts, or, where the lengths of all frames of the batch still fill it exactly,
/// behind a damaged one too. Nothing is searched for: what clients sent could look like frames.
struct GapSalvage {
    private let file: OfflineCatalog.File
    private let window: SegmentWindow
    private let storeID: StoreID
    /// The batches that may be here: from the one expected to the one before the next whole one.
    private let expected: BatchNumber?
    private let until: BatchNumber?
    private let visit: (SalvageEvent) throws(CommitLogError) -> Void

    init(
        _ file: OfflineCatalog.File, _ log: OfflineLog, expected: BatchNumber?, until: BatchNumber?,
        visit: @escaping (SalvageEvent) throws(CommitLogError) -> Void
    ) throws(CommitLogError) {
        self.file = file
        window = try SegmentWindow(file.file, log.fileSystem, toleratesUnreadable: true)
        storeID = log.catalog.storeID
        self.expected = expected
        self.until = until
        self.visit = visit
    }

    /// What a damaged batch's header still says.
    private struct Head {
        let number: BatchNumber
        /// The bytes of the batch, nil where the header's is not confirmed by the lengths of its frames.
        let byteCount: Int?
    }

    /// What a stretch came to.
    struct Outcome {
        /// Damaged batches that could be told apart.
        var batchCount = 0
        /// Bytes of which it is not known what they held.
        var unknownBytes = 0
    }

    /// Goes through the stretch. A record that ends with zeros may go on behind it, up to `limit`.
    func run(_ range: Range<Int>, limit: Int) throws(CommitLogError) -> Outcome {
        var outcome = Outcome()
        var offset = range.lowerBound
        var strange: Int?
        while offset < range.upperBound {
            guard try !isForeignBatch(at: offset), let head = try head(at: offset, before: limit) else {
                strange = strange ?? offset
                outcome.unknownBytes += window.blockBytes
                offset += window.blockBytes
                continue
            }
            if let place = strange { try noteStrange(place) }
            strange = nil
            try note(offset, "the batch \(head.number) here is unreadable")
            let end = head.byteCount.map { offset + $0 } ?? limit
            let (unknown, stop) = try salvageFrames(head, offset, end)
            outcome.unknownBytes += unknown
            outcome.batchCount += 1
            offset = roundedUp(max(stop, offset + 1), to: window.blockBytes)
        }
        if let place = strange { try noteStrange(place) }
        return outcome
    }

    private func noteStrange(_ offset: Int) throws(CommitLogError) {
        try note(offset, "the bytes here are of no batch that can be made out")
    }

    private func note(_ offset: Int, _ cause: String) throws(CommitLogError) {
        try visit(.damage(Damage(file: file.shown, position: file.file.header.position + offset, cause: cause)))
    }

    /// A whole batch of another store, another place or an earlier life of the file.
    private func isForeignBatch(at offset: Int) throws(CommitLogError) -> Bool {
        guard let bytes = unsafe try window.bytes(at: offset, count: BatchHeader.byteCount) else { return false }
        do throws(FormatError) {
            let header = unsafe try BatchView.header(at: bytes)
            guard let whole = unsafe try readable(at: offset, count: Int(header.byteCount)) else { return false }
            return unsafe try BatchView(checking: whole).header.byteCount > 0
        } catch { return false }
    }

    /// A read error is the same as a batch that is not whole.
    private func readable(at offset: Int, count: Int) throws(FormatError) -> UnsafeRawBufferPointer? {
        do throws(CommitLogError) { return unsafe try window.bytes(at: offset, count: count) } catch { return nil }
    }

    /// The header of a damaged batch of this store: two of its magic number, its store id and its position are right.
    private func head(at offset: Int, before limit: Int) throws(CommitLogError) -> Head? {
        guard let bytes = unsafe try window.bytes(at: offset, count: BatchHeader.byteCount) else { return nil }
        var reader = unsafe ByteReader(bytes)
        do throws(FormatError) {
            let magic: UInt32 = try reader.read()
            _ = try reader.read(UInt32.self)
            let (byteCount, frameCount): (UInt32, UInt32) = (try reader.read(), try reader.read())
            let number = BatchNumber(rawValue: try reader.read())
            _ = try reader.read(UInt64.self)
            let store = StoreID(first: try reader.read(), second: try reader.read())
            _ = try reader.read(UInt64.self)
            let position = Position(rawValue: try reader.read())
            let signs = [
                magic == BatchHeader.magic, store == storeID, position == file.file.header.position + offset,
            ]
            guard signs.count(where: { $0 }) >= 2 else { return nil }
            let frameBytesMin = UInt64(BatchHeader.byteCount) + UInt64(frameCount) * UInt64(FrameHeader.byteCount)
            let isSane =
                frameCount > 0 && byteCount % 8 == 0 && UInt64(byteCount) >= frameBytesMin
                && offset + Int(byteCount) <= limit
            let isFilled =
                isSane ? try fillsExactly(offset, byteCount: Int(byteCount), frameCount: Int(frameCount)) : false
            let isExpected = number >= expected ?? .zero && until.map { number < $0 } ?? true
            return Head(
                number: isExpected ? number : expected ?? .zero,
                byteCount: isFilled ? Int(byteCount) : nil)
        } catch { return nil }
    }

    /// Gives out the frames of a damaged batch; returns the bytes that could not be told apart, and where it stopped.
    private func salvageFrames(
        _ head: Head, _ start: Int, _ end: Int
    ) throws(CommitLogError) -> (unknown: Int, stop: Int) {
        guard let bytes = unsafe try window.prefix(at: start, count: end - start) else { return (end - start, end) }
        var offset = BatchHeader.byteCount
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let place = FramePlace(
                position: file.file.header.position + start + offset, file: file.shown, batch: head.number,
                batchBytes: end - start, batchEnd: file.file.header.position + end)
            if let frame = unsafe try wholeFrame(rest) {
                try visit(.frame(frame, place))
                offset += Int(frame.header.byteCount)
                continue
            }
            // What lies behind the last frame of a batch whose end is not known is nothing.
            guard head.byteCount != nil, let length = unsafe Self.consistentLength(rest) else { break }
            try visit(.damagedFrame(unsafe Self.plausibleHeader(rest), byteCount: length, place))
            offset += length
        }
        try visit(.batchEnds)
        // The blocks that follow are looked at by themselves.
        let blockEnd = min(roundedUp(offset, to: window.blockBytes), bytes.count)
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[min(offset, blockEnd)..<blockEnd])
        return (unsafe rest.isEmpty || isZero(rest) ? 0 : rest.count, start + offset)
    }

    private func wholeFrame(_ bytes: UnsafeRawBufferPointer) throws(CommitLogError) -> FrameView? {
        do throws(FormatError) { return unsafe try FrameView(checking: bytes) } catch {
            // Checked behind the checksum: a newer version wrote it.
            if error.needsNewerVersion { throw .unsupported(file: file.shown, what: error.description) }
            return nil
        }
    }

    /// Whether the lengths of the frames, right or damaged, lead from the first to the end of the batch.
    private func fillsExactly(_ start: Int, byteCount: Int, frameCount: Int) throws(FormatError) -> Bool {
        guard let bytes = unsafe try readable(at: start, count: byteCount) else { return false }
        var offset = BatchHeader.byteCount
        for _ in 0..<frameCount {
            guard offset < byteCount,
                let length = unsafe Self.consistentLength(UnsafeRawBufferPointer(rebasing: bytes[offset..<byteCount]))
            else { return false }
            offset += length
        }
        return offset == byteCount
    }

    /// The length of a frame whose lengths agree with each other; nil where they do not.
    private static func consistentLength(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= FrameHeader.byteCount else { return nil }
        func number(_ offset: Int) -> Int {
            Int(UInt32(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        }
        let length = FrameHeader.frameBytes(
            fieldsBytes: number(8) >> 16, recordCount: number(12), payloadBytes: number(40))
        return length == number(0) && length <= bytes.count ? length : nil
    }

    private static func plausibleHeader(_ bytes: UnsafeRawBufferPointer) -> FrameHeader? {
        do throws(FormatError) { return unsafe try FrameHeader(decoding: bytes) } catch { return nil }
    }
}
