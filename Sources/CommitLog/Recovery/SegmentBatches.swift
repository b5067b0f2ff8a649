import LogFormat

/// The batches of one segment from its first on, without knowing the chain before it.
public struct SegmentBatches {
    private let window: SegmentWindow
    private var offset: Int

    /// Begins with the batch at `start`, or with the first one. `directory` is the data directory. `isDirect` reads past the
    /// page cache, as is needed beside direct writes.
    public init(
        _ segment: Segment, from start: Position? = nil, directory: String, fileSystem: any FileSystem,
        isDirect: Bool = false
    ) throws(CommitLogError) {
        let path = DataDirectory(path: directory).segmentPath(segment.position)
        window = try SegmentWindow(
            SegmentCatalog.File(header: segment.header, path: path), fileSystem, isDirect: isDirect)
        offset = (start ?? segment.firstBatchPosition) - segment.position
    }

    /// The next batch that ends before or at this position, nil if there is none; its bytes are valid until the next call.
    /// Everything before the position is durable: what cannot be read there is damage.
    public mutating func next(before end: Position) throws(CommitLogError) -> (batch: BatchView, position: Position)? {
        let place = window.file.header.position + offset
        guard place < end else { return nil }
        window.readableBytes = end - window.file.header.position
        guard let batch = try batch(at: place) else { throw unreadable(place) }
        offset += batch.header.paddedBytes(blockBytes: window.blockBytes)
        return (batch, place)
    }

    /// The next batch with its position; its bytes are valid until the next call. Nil where nothing but zeros follows.
    /// Throws `damaged` where something else follows: an index that stopped there would hide the records behind.
    public mutating func next() throws(CommitLogError) -> (batch: BatchView, position: Position)? {
        window.readableBytes = window.byteCount
        let place = window.file.header.position + offset
        if let batch = try batch(at: place) {
            offset += batch.header.paddedBytes(blockBytes: window.blockBytes)
            return (batch, place)
        }
        var rest = offset
        while let block = unsafe try window.bytes(at: rest, count: window.blockBytes) {
            guard unsafe isZero(block) else { throw unreadable(place) }
            rest += window.blockBytes
        }
        return nil
    }

    private func unreadable(_ place: Position) -> CommitLogError {
        .damaged(Damage(file: "wal/\(window.file.name)", position: place, cause: "the batch here is unreadable"))
    }

    private func batch(at place: Position) throws(CommitLogError) -> BatchView? {
        guard let head = unsafe try window.bytes(at: offset, count: BatchHeader.byteCount),
            let header = decoded({ () throws(FormatError) in unsafe try BatchView.header(at: head) }),
            header.storeID == window.file.header.storeID, header.position == place,
            let bytes = unsafe try window.bytes(at: offset, count: Int(header.byteCount))
        else { return nil }
        return decoded { () throws(FormatError) in unsafe try BatchView(checking: bytes) }
    }

    /// Which way a batch is unreadable makes no difference here.
    private func decoded<Value>(_ decode: () throws(FormatError) -> Value) -> Value? {
        do throws(FormatError) { return try decode() } catch { return nil }
    }
}
