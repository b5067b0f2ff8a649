import Glibc
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
    /// Blocks that the disk cannot read are taken for zeros instead of ending the scan.
    private let toleratesUnreadable: Bool
    /// Bytes of the file that may be believed to stay as they are: nothing behind them is read. May grow.
    var readableBytes: Int

    /// `isDirect` reads past the page cache: `bytes` is asked for whole blocks' beginnings only.
    init(
        _ file: SegmentCatalog.File, _ fileSystem: any FileSystem, toleratesUnreadable: Bool = false,
        isDirect: Bool = false
    ) throws(CommitLogError) {
        self.toleratesUnreadable = toleratesUnreadable
        readableBytes = Int(file.header.segmentBytes)
        self.file = file
        self.fileSystem = fileSystem
        descriptor = try accessing { () throws(FileError) in
            try fileSystem.open(file.path, isDirect ? .readDirect : .read)
        }
        let windowBytes = min(CommitLogLimits.scanWindowBytes, Int(file.header.segmentBytes))
        unsafe buffer = .allocate(byteCount: windowBytes, alignment: Int(file.header.blockBytes))
    }

    deinit {
        fileSystem.close(descriptor)
        unsafe buffer.deallocate()
    }

    var byteCount: Int { Int(file.header.segmentBytes) }
    var blockBytes: Int { Int(file.header.blockBytes) }

    /// These bytes of the file, valid until the next call; nil if they reach beyond the file's end.
    func bytes(at offset: Int, count wanted: Int) throws(CommitLogError) -> UnsafeRawBufferPointer? {
        guard offset + wanted <= readableBytes else { return nil }
        if offset < start || offset + wanted > start + count { try fill(from: offset, atLeast: wanted) }
        guard offset + wanted <= start + count else { return nil }
        let range = offset - start..<offset - start + wanted
        return unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
    }

    /// As many of these bytes as the file has, at least one; nil at its end.
    func prefix(at offset: Int, count wanted: Int) throws(CommitLogError) -> UnsafeRawBufferPointer? {
        let wanted = min(wanted, readableBytes - offset)
        guard wanted > 0 else { return nil }
        if offset < start || offset + wanted > start + count { try fill(from: offset, atLeast: wanted) }
        let found = min(wanted, start + count - offset)
        guard found > 0 else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: buffer[offset - start..<offset - start + found])
    }

    private func fill(from offset: Int, atLeast wanted: Int) throws(CommitLogError) {
        if unsafe wanted > buffer.count {
            unsafe buffer.deallocate()
            unsafe buffer = .allocate(byteCount: roundedUp(wanted, to: blockBytes), alignment: blockBytes)
        }
        let target = unsafe UnsafeMutableRawBufferPointer(
            rebasing: buffer[..<min(buffer.count, roundedUp(readableBytes - offset, to: blockBytes))])
        start = offset
        count = try accessing { () throws(FileError) in
            do throws(FileError) {
                return unsafe try fileSystem.read(descriptor, into: target, at: UInt64(offset))
            } catch {
                guard toleratesUnreadable && error.code == EIO else { throw error }
                return try readBlockwise(from: offset)
            }
        }
    }

    /// Fills the buffer block by block, with zeros where the disk gives an error.
    private func readBlockwise(from offset: Int) throws(FileError) -> Int {
        let size = Int(try fileSystem.byteCount(descriptor))
        let wanted = unsafe min(buffer.count, size - offset)
        var done = 0
        while done < wanted {
            // The next multiple of the smallest block, in the file.
            let unit = CommitLogLimits.blockBytesMin
            let end = min(wanted, done + unit - (offset + done) % unit)
            let block = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<end])
            do throws(FileError) {
                let count = unsafe try fileSystem.read(descriptor, into: block, at: UInt64(offset + done))
                guard count == block.count else { return done + count }
            } catch {
                guard error.code == EIO else { throw error }
                unsafe block.initializeMemory(as: UInt8.self, repeating: 0)
            }
            done = end
        }
        return max(0, wanted)
    }
}
