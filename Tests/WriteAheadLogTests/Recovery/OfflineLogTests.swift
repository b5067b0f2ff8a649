import LogFormat
import Testing

@testable import WriteAheadLog

/// Looking at a directory without a server.
struct OfflineLogTests {
    /// Verification and a start must not contradict each other about the same directory.
    @Test(arguments: RecoveryRow.all)
    func verificationJudgesADirectoryAsAStartDoesAndChangesNothing(_ row: RecoveryRow) throws {
        let directory = try ScratchDirectory()
        let situation = try row.prepare(directory)
        // The lock of a directory that no server has opened yet.
        try directory.overwrite("LOCK", at: 0, with: [])
        try PosixFileSystem().makeDirectory(directory.directory.segmentsPath)
        try PosixFileSystem().makeDirectory(directory.directory.checkpointsPath)
        let before = try directory.snapshot()
        switch situation.verdict {
        case .opens(let opening): try expectWhole(directory, row, opening)
        case .refuses(let file, let position, _):
            // Verification reads all segments, whatever the checkpoints say, and only counts those.
            if row.name.hasPrefix("checkpoint-") { return }
            do {
                _ = try walk(directory)
                Issue.record("verification found nothing")
            } catch WriteAheadLogError.damaged(let damage) {
                #expect(damage.file == file)
                #expect(damage.position == position)
            }
        case .needsNewer(let file, _):
            if row.name == "newer-checkpoint" { return }
            do {
                _ = try walk(directory)
                Issue.record("verification found nothing")
            } catch WriteAheadLogError.unsupported(file, _) {}
        }
        #expect(try directory.snapshot() == before)
    }

    private func expectWhole(_ directory: ScratchDirectory, _ row: RecoveryRow, _ opening: Opening) throws {
        if row.name == "retired-segments" { return }
        let (frames, tail) = try walk(directory)
        // A start begins at its checkpoint, verification at the beginning.
        #expect(frames.suffix(opening.frames.count) == opening.frames[...])
        if opening.checkpoint == nil { #expect(frames.count == opening.frames.count) }
        #expect(tail.tornBytes == opening.torn.reduce(0) { $0 + $1.range.count })
    }

    private func walk(_ directory: ScratchDirectory) throws -> (frames: [[UInt8]], tail: OfflineTail) {
        let log = try whenNoChildHoldsTheLock { try OfflineLog(path: directory.path) }
        let replayed = ReplayedLog()
        let tail = try log.walk { (batch, position, file) throws(WriteAheadLogError) in
            try replayed.replay(&batch, at: position)
        }
        return (replayed.frames, tail)
    }

    @Test func aServerKeepsVerificationOut() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        #expect(throws: WriteAheadLogError.self) { try OfflineLog(path: directory.path) }
        try log.commit(bytes: 10)
    }
}
