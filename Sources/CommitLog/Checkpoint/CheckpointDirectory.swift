import Glibc
import LogFormat

/// The checkpoint files of a data directory: the newest whole one wins, the last two whole ones are kept.
struct CheckpointDirectory: Sendable {
    let directory: DataDirectory
    let fileSystem: any FileSystem

    /// The newest checkpoint that is whole, and the names of newer ones that are not.
    func newest() throws(CommitLogError) -> (checkpoint: Checkpoint?, ignored: [String]) {
        var ignored: [String] = []
        for name in try names().reversed() {
            let contents = try accessing { () throws(FileError) in
                try fileSystem.contents("\(directory.checkpointsPath)/\(name)")
            }
            do throws(FormatError) {
                let checkpoint = try Checkpoint(contents: contents ?? [])
                // A file under another's name must not pass for a newer one.
                if DataDirectory.checkpointName(checkpoint.through) == name { return (checkpoint, ignored) }
                ignored.append(name)
            } catch {
                if case .unsupportedVersion = error {
                    throw .unsupported(file: "checkpoint/\(name)", what: error.description)
                }
                ignored.append(name)
            }
        }
        return (nil, ignored)
    }

    /// Temporary files that a run left when it ended in the middle.
    func leftovers() throws(CommitLogError) -> [String] {
        try accessing { () throws(FileError) in try all() }
            .filter { $0.hasSuffix(".tmp") }.map { "\(directory.checkpointsPath)/\($0)" }
    }

    /// Makes a checkpoint durable, then removes those older than the last two that are whole. One that is not whole, or
    /// cannot be read, takes no whole one's place.
    func write(_ checkpoint: Checkpoint) throws(FileError) {
        let name = DataDirectory.checkpointName(checkpoint.through)
        try fileSystem.replace(directory.checkpointsPath, name, with: checkpoint.encoded())
        var wholeCount = 0
        for old in try list().reversed() {
            let isKept = wholeCount < CommitLogLimits.checkpointCountKept
            if !isKept { try fileSystem.remove("\(directory.checkpointsPath)/\(old)") }
            if isKept && (old == name || isWhole(old)) { wholeCount += 1 }
        }
    }

    private func isWhole(_ name: String) -> Bool {
        // Why it is not makes no difference here: a start says it.
        guard
            let bytes = (try? fileSystem.contents("\(directory.checkpointsPath)/\(name)")) ?? nil,
            let checkpoint = try? Checkpoint(contents: bytes)
        else { return false }
        return DataDirectory.checkpointName(checkpoint.through) == name
    }

    private func names() throws(CommitLogError) -> [String] {
        try accessing { () throws(FileError) in try list() }
    }

    private func list() throws(FileError) -> [String] {
        try all().filter { DataDirectory.number(of: $0, ending: ".ckpt") != nil }
    }

    /// No names where there is no directory: a start makes it, a judgement makes nothing.
    private func all() throws(FileError) -> [String] {
        do throws(FileError) { return try fileSystem.list(directory.checkpointsPath) } catch {
            guard error.code == ENOENT else { throw error }
            return []
        }
    }
}
