import Glibc
import Synchronization

@testable import CommitLog

/// The kernel's file system, of which single calls fail on demand, and which writes down what was called.
final class FaultyFileSystem: FileSystem {
    /// One call: its name as in `FileError`, and the path (of the descriptor's file).
    struct Call: Equatable, Sendable {
        let operation: String
        let path: String
    }

    private struct State {
        var calls: [Call] = []
        var paths: [Int32: String] = [:]
        var fault: @Sendable (Call) -> Int32? = { _ in nil }
    }

    private let inner = PosixFileSystem()
    private let state = Mutex(State())

    /// Gives the errno that a call fails with; nil lets it through. May be called from the maintenance thread.
    func fail(_ fault: @escaping @Sendable (Call) -> Int32?) {
        state.withLock { $0.fault = fault }
    }

    var calls: [Call] { state.withLock { $0.calls } }

    private func note(_ operation: String, _ path: String) throws(FileError) {
        let code: Int32? = state.withLock { state in
            let call = Call(operation: operation, path: path)
            state.calls.append(call)
            return state.fault(call)
        }
        if let code { throw FileError(operation: operation, path: path, code: code) }
    }

    private func note(_ operation: String, _ descriptor: Int32) throws(FileError) {
        try note(operation, state.withLock { $0.paths[descriptor] ?? "?" })
    }

    func open(_ path: String, _ mode: OpenMode) throws(FileError) -> Int32 {
        try note("open", path)
        let descriptor = try inner.open(path, mode)
        state.withLock { $0.paths[descriptor] = path }
        return descriptor
    }

    func close(_ descriptor: Int32) {
        state.withLock { state in
            state.calls.append(Call(operation: "close", path: state.paths[descriptor] ?? "?"))
            state.paths[descriptor] = nil
        }
        inner.close(descriptor)
    }

    /// The paths of the files that are open, sorted.
    var openPaths: [String] { state.withLock { $0.paths.values.sorted() } }

    func lock(_ descriptor: Int32, isShared: Bool) throws(FileError) -> Bool {
        try inner.lock(descriptor, isShared: isShared)
    }

    func byteCount(_ descriptor: Int32) throws(FileError) -> UInt64 { try inner.byteCount(descriptor) }

    func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(FileError) -> Int {
        try note("pread", descriptor)
        return try inner.read(descriptor, into: buffer, at: offset)
    }

    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        try note("pwrite", descriptor)
        try inner.write(descriptor, bytes, at: offset)
    }

    func synchronizeData(_ descriptor: Int32) throws(FileError) {
        try note("fdatasync", descriptor)
        try inner.synchronizeData(descriptor)
    }

    func dropCache(_ descriptor: Int32) {
        state.withLock { $0.calls.append(Call(operation: "fadvise", path: $0.paths[descriptor] ?? "?")) }
        inner.dropCache(descriptor)
    }

    func synchronizeDirectory(_ path: String) throws(FileError) {
        try note("fsync", path)
        try inner.synchronizeDirectory(path)
    }

    func makeDirectory(_ path: String) throws(FileError) {
        try note("mkdir", path)
        try inner.makeDirectory(path)
    }

    func list(_ path: String) throws(FileError) -> [String] { try inner.list(path) }

    func rename(_ from: String, to: String) throws(FileError) {
        try note("rename", from)
        try inner.rename(from, to: to)
    }

    func shorten(_ descriptor: Int32, to byteCount: UInt64) throws(FileError) {
        try note("ftruncate", descriptor)
        try inner.shorten(descriptor, to: byteCount)
    }

    func remove(_ path: String) throws(FileError) {
        try note("unlink", path)
        try inner.remove(path)
    }
}
