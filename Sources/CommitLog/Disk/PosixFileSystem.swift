import CLinux
import Glibc

/// The kernel's own file system calls. Every loop over a short or interrupted call is here.
public final class PosixFileSystem: FileSystem {
    public init() {}

    public func open(_ path: String, _ mode: OpenMode) throws(FileError) -> Int32 {
        let flags: Int32
        switch mode {
        case .read: flags = O_RDONLY
        case .readDirect: flags = O_RDONLY | clinux_open_direct_flag()
        case .write: flags = O_RDWR | O_CREAT
        case .writeDirect: flags = O_RDWR | O_CREAT | clinux_open_direct_flag()
        case .createNew: flags = O_RDWR | O_CREAT | O_EXCL
        }
        let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw FileError(operation: "open", path: path, code: errno) }
        return descriptor
    }

    public func close(_ descriptor: Int32) {
        // An error of close(2) says nothing that the fdatasync before it did not.
        _ = Glibc.close(descriptor)
    }

    public func lock(_ descriptor: Int32, isShared: Bool) throws(FileError) -> Bool {
        if flock(descriptor, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK else { throw failure("flock", descriptor) }
        return false
    }

    public func byteCount(_ descriptor: Int32) throws(FileError) -> UInt64 {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw failure("fstat", descriptor) }
        return UInt64(status.st_size)
    }

    public func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(FileError) -> Int {
        var done = 0
        while done < buffer.count {
            let address = unsafe buffer.baseAddress! + done
            let count = unsafe pread(descriptor, address, buffer.count - done, off_t(offset) + off_t(done))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("pread", descriptor)
            }
            done += count
        }
        return done
    }

    public func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let address = unsafe bytes.baseAddress! + done
            let count = unsafe pwrite(descriptor, address, bytes.count - done, off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("pwrite", descriptor)
            }
            guard count > 0 else { throw FileError(operation: "pwrite", path: "descriptor \(descriptor)", code: EIO) }
            done += count
        }
    }

    public func synchronizeData(_ descriptor: Int32) throws(FileError) {
        guard fdatasync(descriptor) == 0 else { throw failure("fdatasync", descriptor) }
    }

    public func dropCache(_ descriptor: Int32) {
        // Advice only: where it is refused the pages that stay were synced just before.
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    public func synchronizeDirectory(_ path: String) throws(FileError) {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(operation: "open", path: path, code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw FileError(operation: "fsync", path: path, code: errno) }
    }

    public func makeDirectory(_ path: String) throws(FileError) {
        if unsafe mkdir(path, 0o750) == 0 { return }
        let code = errno
        guard code == EEXIST else { throw FileError(operation: "mkdir", path: path, code: code) }
    }

    public func list(_ path: String) throws(FileError) -> [String] {
        guard let stream = unsafe opendir(path) else { throw FileError(operation: "opendir", path: path, code: errno) }
        defer { unsafe _ = closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    public func rename(_ from: String, to: String) throws(FileError) {
        guard unsafe Glibc.rename(from, to) == 0 else { throw FileError(operation: "rename", path: from, code: errno) }
    }

    public func remove(_ path: String) throws(FileError) {
        guard unsafe unlink(path) == 0 else { throw FileError(operation: "unlink", path: path, code: errno) }
    }

    public func shorten(_ descriptor: Int32, to byteCount: UInt64) throws(FileError) {
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else { throw failure("ftruncate", descriptor) }
    }

    private func failure(_ operation: String, _ descriptor: Int32) -> FileError {
        FileError(operation: operation, path: "descriptor \(descriptor)", code: errno)
    }
}
