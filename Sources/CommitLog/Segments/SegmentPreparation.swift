import Glibc
import LogFormat
import Synchronization

/// Makes segment files ready before they are needed: under a temporary name, written full of zeros so that no later
/// write has to change metadata, synced, renamed, and the directory synced.
final class SegmentPreparation: Sendable {
    private let fileSystem: any FileSystem
    private let directory: DataDirectory
    private let mode: WriteMode
    /// Bytes a second of the zero-fill; 0 is as fast as the disk takes it. Set by the loop, read by the maintenance
    /// thread while it fills.
    let fillBytesPerSecond = Atomic<Int>(0)

    init(fileSystem: any FileSystem, directory: DataDirectory, mode: WriteMode) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.mode = mode
    }

    /// Prepares the segment and opens it for commit writes.
    func prepare(_ header: SegmentHeader) throws(FileError) -> Int32 {
        let path = directory.segmentPath(header.position)
        let temporary = path + ".tmp"
        // What a run that ended in the middle left behind.
        do throws(FileError) { try fileSystem.remove(temporary) } catch { if error.code != ENOENT { throw error } }
        let descriptor = try fileSystem.openForCommits(temporary, mode)
        do throws(FileError) {
            try fill(descriptor, header)
            try fileSystem.synchronizeData(descriptor)
            try fileSystem.rename(temporary, to: path)
            try fileSystem.synchronizeDirectory(directory.segmentsPath)
        } catch {
            fileSystem.close(descriptor)
            // A half-made spare must not hold the space that appends are waiting for.
            do throws(FileError) { try fileSystem.remove(temporary) } catch {}
            throw error
        }
        return descriptor
    }

    private func fill(_ descriptor: Int32, _ header: SegmentHeader) throws(FileError) {
        let block = Int(header.blockBytes)
        let chunkBytes = max(CommitLogLimits.hurriedFillWriteBytes, block)
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkBytes, alignment: block)
        defer { unsafe chunk.deallocate() }
        unsafe _ = memset(chunk.baseAddress!, 0, chunkBytes)
        unsafe header.encode(into: UnsafeMutableRawBufferPointer(rebasing: chunk[..<block]))
        var offset = 0
        let total = Int(header.segmentBytes)
        while offset < total {
            let isHurried = fillBytesPerSecond.load(ordering: .relaxed) == 0
            let stepBytes = isHurried ? chunkBytes : max(CommitLogLimits.fillWriteBytes, block)
            let count = min(stepBytes, total - offset)
            unsafe try fileSystem.write(
                descriptor, UnsafeRawBufferPointer(rebasing: chunk[..<count]), at: UInt64(offset))
            if offset == 0 { unsafe _ = memset(chunk.baseAddress!, 0, block) }
            offset += count
            pause(after: count)
        }
    }

    private func pause(after bytes: Int) {
        let rate = fillBytesPerSecond.load(ordering: .relaxed)
        if rate > 0 { usleep(UInt32(bytes * 1_000_000 / rate)) }
    }
}
