import CommitLog
import Glibc

/// A file system in memory, whose machine can die before any call, and whose calls can fail.
///
/// - Dead, every call fails and changes nothing; so the code above ends as it would have, without any further trace.
/// - One thread uses it at a time: the maintenance's goes on only where the device's `wait` lets it.
final class SimulatedDisk: FileSystem, @unchecked Sendable {
    /// A commit write that is with the disk.
    struct CommitWrite {
        let file: SimulatedFile
        let bytes: [UInt8]
        let offset: Int
        let isDirect: Bool

        /// A part of it reaches the disk, or the cache.
        func perform(partly seed: inout Seed) {
            bytes.withUnsafeBytes { bytes in
                if isDirect {
                    var survival = Survival(&seed)
                    file.writeTorn(bytes, at: offset, &survival)
                } else {
                    let count = seed.once(in: 2) ? bytes.count : seed.below(bytes.count + 1)
                    file.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset)
                }
            }
        }
    }

    enum Crash {
        /// The process is killed: the page cache stays.
        case kill
        /// The power goes.
        case power
    }

    var seed: Seed
    /// Names of un-synced directories survive in the order in which they were changed.
    private let hasJournal: Bool
    private let root = SimulatedDirectory()
    private var open: [Int32: SimulatedFile] = [:]
    private var nextDescriptor: Int32 = 1000
    /// One call in so many fails; 0 for none.
    var faultRate = 0
    /// Calls until the machine dies; nil for never.
    var callsUntilDeath: Int?
    /// The machine likes to die where something takes its place: behind a rename, and behind the sync of a directory.
    var diesBehindNames = false
    /// There is no room for anything new; what is there can be written.
    var isFull = false
    /// Reads that gave less than was asked for.
    var shortReadCount = 0
    /// Where the maintenance jobs run.
    let maintenance: Coroutine
    private(set) var isDead = false
    private(set) var callCount = 0
    var commitWrites: [CommitWrite] = []
    /// A promise that the code above broke.
    var broken: String?

    init(_ seed: inout Seed, _ maintenance: Coroutine) {
        self.seed = seed.branch()
        self.maintenance = maintenance
        hasJournal = seed.once(in: 2)
    }

    var openCount: Int { open.count }

    /// Counts a call; false if the machine is dead, or dies now.
    func passes() -> Bool {
        if isDead { return false }
        if maintenance.isInside { maintenance.beforeCall() }
        if isDead { return false }
        callCount += 1
        guard let calls = callsUntilDeath else { return true }
        callsUntilDeath = calls - 1
        isDead = calls == 0
        return !isDead
    }

    /// Whether this call fails, though the machine lives.
    func fails() -> Bool { seed.once(in: faultRate) }

    func die() { isDead = true }

    /// The machine comes up again.
    func restart(_ crash: Crash) {
        for write in commitWrites { write.perform(partly: &seed) }
        commitWrites = []
        if crash == .power {
            var survival = Survival(&seed)
            root.crash(&survival, inOrder: hasJournal)
        }
        open = [:]
        isDead = false
        isFull = false
        callsUntilDeath = nil
        diesBehindNames = false
    }

    func file(_ descriptor: Int32) -> SimulatedFile {
        guard let file = open[descriptor] else { preconditionFailure("the descriptor \(descriptor) is not open") }
        return file
    }

    /// Whether a file holds nothing but zeros from an offset on.
    func isZero(_ path: String, from offset: Int) -> Bool {
        guard let (directory, name) = try? parent(of: path), case .file(let file)? = directory.entries[name] else {
            return false
        }
        return file.isZero(from: offset)
    }

    /// The last name of this ending in a directory; empty for none.
    func newestName(_ path: String, ending: String) -> String {
        ((try? directory(path))?.names ?? []).last { $0.hasSuffix(ending) } ?? ""
    }

    // MARK: FileSystem

    func open(_ path: String, _ mode: OpenMode) throws(FileError) -> Int32 {
        try begin("open", path)
        let (directory, name) = try parent(of: path)
        let file: SimulatedFile
        switch (directory.entries[name], mode) {
        case (.file, .createNew): throw FileError(operation: "open", path: path, code: EEXIST)
        case (.file(let found), _): file = found
        case (.directory, _): throw FileError(operation: "open", path: path, code: EISDIR)
        case (nil, .read), (nil, .readDirect): throw FileError(operation: "open", path: path, code: ENOENT)
        case (nil, _) where isFull: throw FileError(operation: "open", path: path, code: ENOSPC)
        case (nil, _):
            file = SimulatedFile()
            directory.change([(name, .file(file))])
        }
        nextDescriptor += 1
        open[nextDescriptor] = file
        return nextDescriptor
    }

    func close(_ descriptor: Int32) {
        precondition(open.removeValue(forKey: descriptor) != nil, "a descriptor was closed that is not open")
    }

    func byteCount(_ descriptor: Int32) throws(FileError) -> UInt64 {
        try begin("fstat", "descriptor")
        return UInt64(file(descriptor).byteCount)
    }

    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError)
        -> Int
    {
        try begin("pread", "descriptor")
        return file(descriptor).read(into: buffer, at: Int(offset))
    }

    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        let file = file(descriptor)
        do throws(FileError) { try begin("pwrite", "descriptor") } catch {
            // A part of it was written all the same.
            if !isDead {
                let part = UnsafeRawBufferPointer(rebasing: bytes[..<seed.below(bytes.count + 1)])
                file.write(part, at: Int(offset))
            }
            throw error
        }
        let growth = Int(offset) + bytes.count - file.byteCount
        if isFull && growth > 0 {
            let part = bytes.count - seed.below(min(growth, bytes.count) + 1)
            file.write(UnsafeRawBufferPointer(rebasing: bytes[..<part]), at: Int(offset))
            if part < bytes.count { throw FileError(operation: "pwrite", path: "descriptor", code: ENOSPC) }
        } else {
            file.write(bytes, at: Int(offset))
        }
        if seed.once(in: 16) {
            var survival = Survival(&seed)
            file.writeBackSome(&survival)
        }
    }

    func synchronizeData(_ descriptor: Int32) throws(FileError) {
        let file = file(descriptor)
        do throws(FileError) { try begin("fdatasync", "descriptor") } catch {
            if !isDead {
                var survival = Survival(&seed)
                file.failToSynchronize(&survival)
            }
            throw error
        }
        file.synchronize()
    }

    /// A crash ends every write at once here, so nobody ever holds a lock against a start.
    func lock(_ descriptor: Int32, isShared: Bool) throws(FileError) -> Bool { true }

    func dropCache(_ descriptor: Int32) {
        if passes() { file(descriptor).dropCache() }
    }

    func synchronizeDirectory(_ path: String) throws(FileError) {
        try begin("fsync", path)
        try directory(path).synchronize()
        // Best while a batch is under way: what has its place now may speak of it.
        let isBusy = !commitWrites.isEmpty
        if diesBehindNames && seed.once(in: isBusy ? 2 : 3) { callsUntilDeath = isBusy ? 0 : seed.below(5) }
    }

    func makeDirectory(_ path: String) throws(FileError) {
        try begin("mkdir", path)
        let (directory, name) = try parent(of: path)
        if directory.entries[name] == nil {
            if isFull { throw FileError(operation: "mkdir", path: path, code: ENOSPC) }
            directory.change([(name, .directory(SimulatedDirectory()))])
        }
    }

    func list(_ path: String) throws(FileError) -> [String] {
        try begin("opendir", path)
        return try directory(path).names
    }

    func rename(_ from: String, to: String) throws(FileError) {
        var failure: FileError?
        do throws(FileError) { try begin("rename", from) } catch {
            // The error may come behind the change.
            if isDead || seed.once(in: 2) { throw error }
            failure = error
        }
        let (directory, name) = try parent(of: from)
        guard let node = directory.entries[name] else { throw FileError(operation: "rename", path: from, code: ENOENT) }
        directory.change([(name, nil), (try parent(of: to).name, node)])
        if diesBehindNames && seed.once(in: 4) { callsUntilDeath = 0 }
        if let failure { throw failure }
    }

    func remove(_ path: String) throws(FileError) {
        try begin("unlink", path)
        let (directory, name) = try parent(of: path)
        guard directory.entries[name] != nil else { throw FileError(operation: "unlink", path: path, code: ENOENT) }
        directory.change([(name, nil)])
    }

    private func begin(_ operation: String, _ path: String) throws(FileError) {
        guard passes() else { throw FileError(operation: operation, path: path, code: EIO) }
        if fails() { throw FileError(operation: operation, path: path, code: seed.once(in: 2) ? EIO : ENOSPC) }
    }

    private func parent(of path: String) throws(FileError) -> (directory: SimulatedDirectory, name: String) {
        let parts = path.split(separator: "/")
        var directory = root
        for part in parts.dropLast() {
            guard case .directory(let next)? = directory.entries[String(part)] else {
                throw FileError(operation: "resolve", path: path, code: ENOENT)
            }
            directory = next
        }
        return (directory, String(parts.last ?? ""))
    }

    func directory(_ path: String) throws(FileError) -> SimulatedDirectory {
        if path == "/" { return root }
        let (parent, name) = try parent(of: path)
        guard case .directory(let directory)? = parent.entries[name] else {
            throw FileError(operation: "open", path: path, code: ENOENT)
        }
        return directory
    }
}
