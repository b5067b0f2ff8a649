import LogFormat

/// The readable batches of one segment, without knowing the chain before it: for making a lost index anew. A damaged one
/// is passed over block by block, so that it does not hide those behind it.
public struct SegmentBatches {
    private let window: SegmentWindow
    private var offset: Int

    /// `directory` is the data directory.
    public init(
        _ segment: Segment, directory: String, fileSystem: any FileSystem
    ) throws(WriteAheadLogError) {
        let path = DataDirectory(path: directory).segmentPath(segment.position)
        window = try SegmentWindow(SegmentCatalog.File(header: segment.header, path: path), fileSystem)
        offset = window.blockBytes
    }

    /// The next batch with its position; its bytes are valid until the next call. Nil where no batch follows.
    public mutating func next() throws(WriteAheadLogError) -> (batch: BatchView, position: Position)? {
        while offset < window.byteCount {
            if let found = try batchHere() { return found }
            offset += window.blockBytes
        }
        return nil
    }

    private mutating func batchHere() throws(WriteAheadLogError) -> (batch: BatchView, position: Position)? {
        guard let head = unsafe try window.bytes(at: offset, count: BatchHeader.byteCount) else { return nil }
        let place = window.file.header.position + offset
        do throws(FormatError) {
            let header = unsafe try BatchView.header(at: head)
            guard header.storeID == window.file.header.storeID, header.position == place,
                let bytes = unsafe try windowBytes(Int(header.byteCount))
            else { return nil }
            let batch = unsafe try BatchView(checking: bytes)
            offset += header.paddedBytes(blockBytes: window.blockBytes)
            return (batch, place)
        } catch {
            return nil
        }
    }

    /// A file that cannot be read ends the segment like a damaged batch; reading the records will say so.
    private func windowBytes(_ count: Int) throws(FormatError) -> UnsafeRawBufferPointer? {
        do throws(WriteAheadLogError) { return unsafe try window.bytes(at: offset, count: count) } catch { return nil }
    }
}
