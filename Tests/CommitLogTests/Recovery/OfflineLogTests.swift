import LogFormat
import Testing

@testable import CommitLog

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
        do {
            let log = try whenNoChildHoldsTheLock { try OfflineLog(path: directory.path) }
            try expect(log, row, situation.verdict)
        } catch CommitLogError.unsupported(let file, _) {
            #expect(situation.newerFile == file)
        }
        #expect(try directory.snapshot() == before)
    }

    private func expect(_ log: OfflineLog, _ row: RecoveryRow, _ verdict: Situation.Verdict) throws {
        let replayed = ReplayedLog()
        switch verdict {
        case .opens(let opening):
            let report = try log.judge(replayed)
            #expect(replayed.frames == opening.frames && report.isNewStore == opening.isNewStore)
            let (frames, damages, tail) = try walk(log)
            #expect(damages.isEmpty, "\(damages)")
            // A start begins at its checkpoint, a walk at the beginning.
            #expect(frames.suffix(opening.frames.count) == opening.frames[...])
            if opening.checkpoint == nil { #expect(frames.count == opening.frames.count) }
            #expect(tail.tornBytes == opening.torn.reduce(0) { $0 + $1.range.count })
            #expect(report.tornBytes == tail.tornBytes)
        case .refuses(let file, let position, let cause):
            let damage = try #require(try refusal(log))
            #expect(damage.file == file && damage.position == position && damage.cause.contains(cause))
            // These contradict others and are whole by themselves: only the judgement sees them.
            if ["wrong-frame-in-right-batch", "checkpoint-of-another-store"].contains(row.name) { return }
            let (_, damages, _) = try walk(log)
            #expect(damages.contains { $0.file == file && $0.position == position }, "\(damages)")
        case .needsNewer:
            _ = try log.judge(replayed)
            Issue.record("the judgement found nothing")
        }
    }

    private func refusal(_ log: OfflineLog) throws -> Damage? {
        do throws(CommitLogError) {
            _ = try log.judge(ReplayedLog())
            return nil
        } catch {
            guard case .damaged(let damage) = error else { throw error }
            return damage
        }
    }

    private func walk(_ log: OfflineLog) throws -> (frames: [[UInt8]], damages: [Damage], tail: OfflineTail) {
        var frames: [[UInt8]] = []
        var damages: [Damage] = []
        let tail = try log.walk { event in
            switch event {
            case .frame(let frame, _): if frame.header.kind == .append { frames.append(Array(frame.bytes)) }
            case .damage(let damage): damages.append(damage)
            case .segmentBegins, .damagedFrame, .batchEnds, .unknownBytes, .segmentEnds: break
            }
        }
        return (frames, damages, tail)
    }

    @Test func aServerKeepsVerificationOut() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        #expect(throws: CommitLogError.self) { try OfflineLog(path: directory.path) }
        try log.commit(bytes: 10)
    }
}

extension Situation {
    /// The file that a newer version wrote.
    fileprivate var newerFile: String? {
        if case .needsNewer(let file, _) = verdict { file } else { nil }
    }
}
