import LogFormat

/// Reads one segment file from front to back through a window, so that a scan holds a few MiB whatever the segment's size.
@safe
final class SegmentWindow {
    let file: SegmentCatalog.File
    private let fileSystem: any FileSystem
    private let descriptor: Int32
    private var buffer: UnsafeMutableRawBufferPointer
    /// The file offset of the buffer's first byte, and how many bytes are in it.
    private var start = 0
    private var count = 0

    init(_ file: SegmentCatalog.File, _ fileSystem: any FileSystem) throws(WriteAheadLogError) {
        self.file = file
        self.fileSystem = fileSystem
        descriptor = try accessing { () throws(FileError) in try fileSystem.open(file.path, .read) }
        let windowBytes = min(WriteAheadLogLimits.scanWindowBytes, Int(file.header.segmentBytes))
        unsafe buffer = .allocate(byteCount: windowBytes, alignment: 4096)
    }

    deinit {
        fileSystem.close(descriptor)
        unsafe buffer.deallocate()
    }

    var byteCount: Int { Int(file.header.segmentBytes) }
    var blockBytes: Int { Int(file.header.blockBytes) }

    /// These bytes of the file, valid until the next call; nil if they reach beyond the file's end.
    func bytes(at offset: Int, count wanted: Int) throws(WriteAheadLogError) -> UnsafeRawBufferPointer? {
        guard offset + wanted <= byteCount else { return nil }
        if offset < start || offset + wanted > start + count { try fill(from: offset, atLeast: wanted) }
        guard offset + wanted <= start + count else { return nil }
        let range = offset - start..<offset - start + wanted
        return unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
    }

    private func fill(from offset: Int, atLeast wanted: Int) throws(WriteAheadLogError) {
        if unsafe wanted > buffer.count {
            unsafe buffer.deallocate()
            unsafe buffer = .allocate(byteCount: wanted, alignment: 4096)
        }
        let target = unsafe buffer
        count = try accessing { () throws(FileError) in
            unsafe try fileSystem.read(descriptor, into: target, at: UInt64(offset))
        }
        start = offset
    }
}
