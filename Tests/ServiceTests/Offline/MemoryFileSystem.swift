import CommitLog
import Glibc
import Synchronization

/// A data directory in memory, so that thousands of damaged ones can be looked at in seconds. Paths are absolute; a
/// directory is there when something in it is, or when it was made.
final class MemoryFileSystem: FileSystem {
    /// The contents of all files by path.
    typealias Files = [String: [UInt8]]

    private struct State {
        var files: Files
        var directories: Set<String> = []
        var open: [Int32: String] = [:]
        var next: Int32 = 1 << 20
    }

    private let state: Mutex<State>

    init(_ files: Files) { state = Mutex(State(files: files)) }

    var files: Files { state.withLock { $0.files } }

    private func failure(_ operation: String, _ path: String, _ code: Int32) -> FileError {
        FileError(operation: operation, path: path, code: code)
    }

    func open(_ path: String, _ mode: OpenMode) throws(FileError) -> Int32 {
        let descriptor: Int32? = state.withLock { state in
            if state.files[path] == nil {
                guard mode != .read && mode != .readDirect else { return nil }
                state.files[path] = []
            }
            state.next += 1
            state.open[state.next] = path
            return state.next
        }
        guard let descriptor else { throw failure("open", path, ENOENT) }
        return descriptor
    }

    func close(_ descriptor: Int32) { state.withLock { $0.open[descriptor] = nil } }

    func lock(_ descriptor: Int32, isShared: Bool) throws(FileError) -> Bool { true }

    func byteCount(_ descriptor: Int32) throws(FileError) -> UInt64 {
        state.withLock { UInt64($0.files[$0.open[descriptor]!]!.count) }
    }

    func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(FileError) -> Int {
        let bytes = state.withLock { $0.files[$0.open[descriptor]!]! }
        let start = min(Int(offset), bytes.count)
        let end = min(bytes.count, start + buffer.count)
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
        return end - start
    }

    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        state.withLock { state in
            let path = state.open[descriptor]!
            var file = state.files.removeValue(forKey: path)!
            let end = Int(offset) + bytes.count
            if file.count < end { file += [UInt8](repeating: 0, count: end - file.count) }
            file.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[Int(offset)..<end]).copyMemory(from: bytes)
            }
            state.files[path] = file
        }
    }

    func synchronizeData(_ descriptor: Int32) throws(FileError) {}
    func dropCache(_ descriptor: Int32) {}
    func synchronizeDirectory(_ path: String) throws(FileError) {}

    func makeDirectory(_ path: String) throws(FileError) { state.withLock { _ = $0.directories.insert(path) } }

    func list(_ path: String) throws(FileError) -> [String] {
        let prefix = path + "/"
        let names: Set<String>? = state.withLock { state in
            let all =
                state.files.keys.filter { $0.hasPrefix(prefix) } + state.directories.filter { $0.hasPrefix(prefix) }
            guard !all.isEmpty || state.directories.contains(path) else { return nil }
            return Set(all.map { String($0.dropFirst(prefix.count).prefix { $0 != "/" }) })
        }
        guard let names else { throw failure("opendir", path, ENOENT) }
        return names.sorted()
    }

    func rename(_ from: String, to: String) throws(FileError) {
        state.withLock { state in
            for (path, bytes) in state.files where path == from || path.hasPrefix(from + "/") {
                state.files[path] = nil
                state.files[to + path.dropFirst(from.count)] = bytes
            }
            for path in state.directories where path == from || path.hasPrefix(from + "/") {
                state.directories.remove(path)
                state.directories.insert(to + path.dropFirst(from.count))
            }
        }
    }

    func remove(_ path: String) throws(FileError) {
        let isThere = state.withLock { $0.files.removeValue(forKey: path) != nil }
        if !isThere { throw failure("unlink", path, ENOENT) }
    }
}
