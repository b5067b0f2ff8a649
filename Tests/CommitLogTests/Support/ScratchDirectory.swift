import Glibc
import LogFormat

@testable import CommitLog

/// A data directory of its own, on the disk that the package is built on; it goes when this value goes.
final class ScratchDirectory: Sendable {
    let path: String
    /// Stays when this value goes: another process owns it.
    private let isBorrowed: Bool

    init() throws {
        let parent = getcwd(nil, 0)
        defer { free(parent) }
        guard let parent else { throw FileError(operation: "getcwd", path: ".", code: errno) }
        var template = Array("\(String(cString: parent))/.build/wal-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw FileError(operation: "mkdtemp", path: ".build", code: errno) }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        isBorrowed = false
    }

    /// The directory that another process has made.
    init(borrowing path: String) {
        self.path = path
        isBorrowed = true
    }

    deinit { if !isBorrowed { removeTree(path) } }

    var directory: DataDirectory { DataDirectory(path: path) }

    /// The names in one of its directories, sorted; none if it is not there.
    func names(in folder: String) -> [String] {
        (try? PosixFileSystem().list("\(path)/\(folder)")) ?? []
    }

    /// The contents of a file; nil if it is not there.
    func contents(_ name: String) throws -> [UInt8]? {
        try PosixFileSystem().contents("\(path)/\(name)")
    }

    /// Overwrites bytes of a file, which is made if it is missing.
    func overwrite(_ name: String, at offset: Int, with bytes: [UInt8]) throws {
        let files = PosixFileSystem()
        let descriptor = try files.open("\(path)/\(name)", .write)
        defer { files.close(descriptor) }
        try bytes.withUnsafeBytes { try files.write(descriptor, $0, at: UInt64(offset)) }
    }

    func remove(_ name: String) throws {
        try PosixFileSystem().remove("\(path)/\(name)")
    }

    func rename(_ name: String, to other: String) throws {
        try PosixFileSystem().rename("\(path)/\(name)", to: "\(path)/\(other)")
    }

    /// Cuts or lengthens a file.
    func resize(_ name: String, to byteCount: Int) throws {
        guard truncate("\(path)/\(name)", off_t(byteCount)) == 0 else {
            throw FileError(operation: "truncate", path: name, code: errno)
        }
    }

    /// Everything that a start may have changed: each file of the log, the checkpoints and the torn bytes.
    func snapshot() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for folder in ["wal", "checkpoint", "torn"] {
            for name in names(in: folder) { files["\(folder)/\(name)"] = try contents("\(folder)/\(name)") }
        }
        return files
    }
}

private func removeTree(_ path: String) {
    let files = PosixFileSystem()
    if let names = try? files.list(path) { for name in names { removeTree("\(path)/\(name)") } }
    if rmdir(path) != 0 { unlink(path) }
}
