import Glibc
import LogFormat

/// Takes a torn batch out of a segment: its bytes are saved under torn/ and made durable there, then overwritten with
/// zeros, so that the next start does not find them again. No acknowledged byte is among them.
struct TornTail {
    let directory: DataDirectory
    let fileSystem: any FileSystem
    /// The last epoch before the cut: it tells the cuts at one place apart.
    let epoch: Epoch

    /// Returns the path of the saved bytes, relative to the data directory.
    func remove(_ range: Range<Int>, of file: SegmentCatalog.File) throws(CommitLogError) -> String {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 4096)
        defer { unsafe buffer.deallocate() }
        return try accessing { () throws(FileError) in
            let descriptor = try fileSystem.open(file.path, .write)
            defer { fileSystem.close(descriptor) }
            unsafe _ = try fileSystem.read(descriptor, into: buffer, at: UInt64(range.lowerBound))
            let name = unsafe try save(
                UnsafeRawBufferPointer(buffer), position: file.header.position + range.lowerBound)
            unsafe _ = memset(buffer.baseAddress!, 0, buffer.count)
            unsafe try fileSystem.write(descriptor, UnsafeRawBufferPointer(buffer), at: UInt64(range.lowerBound))
            try fileSystem.synchronizeData(descriptor)
            fileSystem.dropCache(descriptor)
            return name
        }
    }

    private func save(_ bytes: UnsafeRawBufferPointer, position: Position) throws(FileError) -> String {
        try fileSystem.makeDirectory(directory.tornPath)
        try fileSystem.synchronizeDirectory(directory.path)
        let (descriptor, name) = try create(position)
        defer { fileSystem.close(descriptor) }
        unsafe try fileSystem.write(descriptor, bytes, at: 0)
        try fileSystem.synchronizeData(descriptor)
        try fileSystem.synchronizeDirectory(directory.tornPath)
        return "torn/\(name)"
    }

    /// A crash during a cut leaves a saved file behind, which the next attempt must not overwrite.
    private func create(_ position: Position) throws(FileError) -> (descriptor: Int32, name: String) {
        var attempt = 0
        while true {
            let name = "\(position.rawValue)-\(epoch.rawValue)-\(attempt).bytes"
            do throws(FileError) {
                return (try fileSystem.open("\(directory.tornPath)/\(name)", .createNew), name)
            } catch {
                guard error.code == EEXIST else { throw error }
                attempt += 1
            }
        }
    }
}
