import LogFormat

extension CommitLog {
    /// The durable batch that this position lies in, if it is still in memory: its position and its bytes (header and
    /// frames), valid until the next `wait`.
    public func recentBatch(containing position: Position) -> (start: Position, bytes: UnsafeRawBufferPointer)? {
        unsafe recent.batch(containing: position)
    }

    /// The segment that holds this position; nil if it is not kept.
    public func segment(containing position: Position) -> Segment? {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].position <= position { low = middle + 1 } else { high = middle }
        }
        guard low > 0, position < segments[low - 1].limit else { return nil }
        return segments[low - 1]
    }

    /// Starts to read into the buffer from a block's position on; `LoopEvents.reads` reports the end under `number`.
    /// Returns the descriptor that `endRead` wants then. The buffer is aligned to the block and a multiple of it.
    public func beginRead(
        _ segment: Segment, at position: Position, into buffer: UnsafeMutableRawBufferPointer, number: UInt64
    ) throws(FileError) -> Int32 {
        // Past the page cache where commits go past it: a cached page beside a direct write could be stale.
        let isDirect = segment.position == active.position && engine.mode == .direct
        let descriptor = try descriptors.beginRead(isDirect ? .direct(segment.position) : .cached(segment.position))
        unsafe device.read(descriptor, into: buffer, at: UInt64(position - segment.position), number: number)
        return descriptor
    }

    /// Starts to read a part of the index file of a sealed segment, like `beginRead`; any buffer will do.
    public func beginIndexRead(
        _ segment: Position, at fileOffset: UInt64, into buffer: UnsafeMutableRawBufferPointer, number: UInt64
    ) throws(FileError) -> Int32 {
        let descriptor = try descriptors.beginRead(.index(segment))
        unsafe device.read(descriptor, into: buffer, at: fileOffset, number: number)
        return descriptor
    }

    public func endRead(_ descriptor: Int32) {
        descriptors.endRead(descriptor)
    }

    /// Bytes that the segment files take on the disk.
    public var diskBytes: Int {
        var bytes = segments.reduce(0) { $0 + $1.byteCount }
        if case .ready(let header, _) = spare { bytes += Int(header.segmentBytes) }
        return bytes
    }
}
