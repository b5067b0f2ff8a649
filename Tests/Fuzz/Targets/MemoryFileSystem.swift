import Glibc

@testable import CommitLog

/// A directory tree in memory, for one run on one thread.
final class MemoryFileSystem: FileSystem, @unchecked Sendable {
    private(set) var files: [String: [UInt8]] = [:]
    private var open: [Int32: String] = [:]
    private var nextDescriptor: Int32 = 3

    init(_ files: [String: [UInt8]] = [:]) { self.files = files }

    /// Descriptors that were not closed.
    var openCount: Int { open.count }

    func open(_ path: String, _ mode: OpenMode) throws(FileError) -> Int32 {
        switch mode {
        case .read, .readDirect:
            if files[path] == nil { throw FileError(operation: "open", path: path, code: ENOENT) }
        case .write, .writeDirect:
            if files[path] == nil { files[path] = [] }
        case .createNew:
            if files[path] != nil { throw FileError(operation: "open", path: path, code: EEXIST) }
            files[path] = []
        }
        nextDescriptor += 1
        open[nextDescriptor] = path
        return nextDescriptor
    }

    func close(_ descriptor: Int32) { open[descriptor] = nil }

    func lock(_ descriptor: Int32, isShared: Bool) throws(FileError) -> Bool { true }

    func byteCount(_ descriptor: Int32) throws(FileError) -> UInt64 { UInt64(contents(descriptor).count) }

    func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(FileError) -> Int {
        let available = contents(descriptor).dropFirst(Int(offset)).prefix(buffer.count)
        buffer.copyBytes(from: available)
        return available.count
    }

    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        var contents = contents(descriptor)
        let end = Int(offset) + bytes.count
        if contents.count < end { contents.append(contentsOf: [UInt8](repeating: 0, count: end - contents.count)) }
        contents.replaceSubrange(Int(offset)..<end, with: bytes)
        files[open[descriptor]!] = contents
    }

    func synchronizeData(_ descriptor: Int32) throws(FileError) {}

    func dropCache(_ descriptor: Int32) {}

    func synchronizeDirectory(_ path: String) throws(FileError) {}

    func makeDirectory(_ path: String) throws(FileError) {}

    func list(_ path: String) throws(FileError) -> [String] {
        files.keys.filter { $0.hasPrefix(path + "/") }.map { String($0.dropFirst(path.utf8.count + 1)) }.sorted()
    }

    func rename(_ from: String, to: String) throws(FileError) {
        files[to] = files.removeValue(forKey: from)
    }

    func remove(_ path: String) throws(FileError) { files[path] = nil }

    private func contents(_ descriptor: Int32) -> [UInt8] {
        guard let path = open[descriptor], let contents = files[path] else {
            preconditionFailure("a file is used that is not open")
        }
        return contents
    }
}
