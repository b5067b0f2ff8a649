import Glibc

/// A failed call on a file, with what it was done to.
public struct FileError: Error, Equatable, CustomStringConvertible {
    /// What was tried, as in "open" or "fdatasync".
    public let operation: String
    public let path: String
    /// The errno of the call.
    public let code: Int32

    public init(operation: String, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    public var description: String { "\(operation) \(path): \(errnoSentence(code))" }
}

/// The C library's sentence for an errno, with its number.
public func errnoSentence(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe "\(String(cString: text)) (errno \(code))"
}

/// How a file is opened.
public enum OpenMode: Sendable, Equatable {
    /// For reading, through the page cache.
    case read
    /// For reading past the page cache (O_DIRECT).
    case readDirect
    /// For reading and writing, through the page cache; made if it is missing.
    case write
    /// For reading and writing past the page cache (O_DIRECT); made if it is missing.
    case writeDirect
    /// For writing a file that must not be there yet.
    case createNew
}

/// The blocking calls on a directory tree that recovery and the maintenance thread make.
/// A protocol, so that the simulator can stand in a disk of its own; paths are absolute.
public protocol FileSystem: AnyObject, Sendable {
    func open(_ path: String, _ mode: OpenMode) throws(FileError) -> Int32
    func close(_ descriptor: Int32)
    /// Tries to lock an open file (flock) without waiting; false while another opening of it holds a lock against that.
    /// The lock goes when the last reference to this opening does: the descriptor's, and those of writes under way.
    func lock(_ descriptor: Int32, isShared: Bool) throws(FileError) -> Bool
    /// The size of an open file in bytes.
    func byteCount(_ descriptor: Int32) throws(FileError) -> UInt64
    /// Reads until the buffer is full or the file ends; returns the bytes read.
    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError)
        -> Int
    /// Writes all the bytes.
    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError)
    /// Makes the file's data durable (fdatasync).
    func synchronizeData(_ descriptor: Int32) throws(FileError)
    /// Drops the file's pages from the page cache, so that the next read comes from the disk.
    func dropCache(_ descriptor: Int32)
    /// Makes a directory's entries durable.
    func synchronizeDirectory(_ path: String) throws(FileError)
    func makeDirectory(_ path: String) throws(FileError)
    /// The names in a directory, sorted, without "." and "..".
    func list(_ path: String) throws(FileError) -> [String]
    func rename(_ from: String, to: String) throws(FileError)
    func remove(_ path: String) throws(FileError)
    /// Cuts an open file off at its end. Only makes the removal of a large file easier for what runs beside it: a file
    /// system of a test may leave the file as it is.
    func shorten(_ descriptor: Int32, to byteCount: UInt64) throws(FileError)
}

extension FileSystem {
    public func shorten(_ descriptor: Int32, to byteCount: UInt64) throws(FileError) {}

    /// Opens a segment for commit writes and locks it for as long as one of them is under way, however this process
    /// ends: the kernel finishes a write whose process was killed, and lets the next one start before that.
    func openForCommits(_ path: String, _ mode: WriteMode) throws(FileError) -> Int32 {
        let descriptor = try open(path, mode == .direct ? .writeDirect : .write)
        do throws(FileError) {
            try awaitLock(descriptor, path, isShared: false)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Locks an open segment, once the commit writes of a process that was killed have ended. They hold the file open,
    /// and so its lock, when the process and its lock on the directory are gone; what they still write would fall on
    /// what this process writes.
    func awaitLock(_ descriptor: Int32, _ path: String, isShared: Bool) throws(FileError) {
        for _ in 0..<CommitLogLimits.predecessorWaitMilliseconds {
            if try lock(descriptor, isShared: isShared) { return }
            usleep(1000)
        }
        throw FileError(operation: "wait for a killed server's writes to", path: path, code: ETIMEDOUT)
    }

    /// The whole of a small file, or nil if it is not there.
    public func contents(_ path: String) throws(FileError) -> [UInt8]? {
        let descriptor: Int32
        do throws(FileError) { descriptor = try open(path, .read) } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Int(try byteCount(descriptor)))
        let result: Result<Int, FileError> = unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(FileError) { return .success(unsafe try read(descriptor, into: buffer, at: 0)) } catch {
                return .failure(error)
            }
        }
        bytes.removeLast(bytes.count - (try result.get()))
        return bytes
    }

    /// Puts a small file in place so that after a crash either it or what was there before is found whole:
    /// written under a temporary name, synced, renamed, and the directory synced. Where that fails nothing of it stays.
    public func replace(_ directory: String, _ name: String, with bytes: [UInt8]) throws(FileError) {
        let temporary = "\(directory)/\(name).tmp"
        do throws(FileError) {
            try writeWhole(temporary, bytes)
            try rename(temporary, to: "\(directory)/\(name)")
        } catch {
            // Half of it must not hold the room that appends may be waiting for. The failure before is what counts.
            do throws(FileError) { try remove(temporary) } catch {}
            throw error
        }
        try synchronizeDirectory(directory)
    }

    private func writeWhole(_ path: String, _ bytes: [UInt8]) throws(FileError) {
        let descriptor = try open(path, .write)
        defer { close(descriptor) }
        let result: Result<Void, FileError> = unsafe bytes.withUnsafeBytes { buffer in
            do throws(FileError) { return .success(unsafe try write(descriptor, buffer, at: 0)) } catch {
                return .failure(error)
            }
        }
        try result.get()
        try synchronizeData(descriptor)
    }
}
