import Glibc
import LogFormat
import Testing

@testable import CommitLog

struct RecoveryTableTests {
    @Test(arguments: RecoveryRow.all)
    func aStartDoesWhatTheTableSays(_ row: RecoveryRow) throws {
        let directory = try ScratchDirectory()
        let situation = try row.prepare(directory)
        switch situation.verdict {
        case .opens(let opening): try expectOpens(directory, situation.segmentBytes, opening)
        case .refuses(let file, let position, let text):
            try expectRefuses(directory) { error in
                guard case .damaged(let damage) = error else { return false }
                return damage.file == file && damage.position == position && damage.cause.contains(text)
            }
        case .needsNewer(let file, let text):
            try expectRefuses(directory) { error in
                guard case .unsupported(file, let what) = error else { return false }
                return what.contains(text)
            }
        }
    }

    @Test func theTableInTheDocumentationHasTheRowsThatAreTested() throws {
        let text = String(decoding: try #require(try PosixFileSystem().contents("docs/DURABILITY.md")), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
            .map { String($0.dropFirst(3).prefix { $0 != "`" }) }
        #expect(rows.sorted() == RecoveryRow.all.map(\.name).sorted())
    }

    /// What a dying process had written and not synced may be in the page cache alone.
    @Test func aStartSyncsEachSegmentAndDropsItsPagesBeforeItReadsIt() throws {
        let directory = try ScratchDirectory()
        try writeSegments(directory, 2)
        let files = FaultyFileSystem()
        _ = try DrivenLog(directory, fileSystem: files)
        for index in 0...2 {
            let calls = files.calls.filter { $0.path.hasSuffix(directory.segment(index)) }.map(\.operation)
            #expect(Array(calls.prefix(4)) == ["open", "fdatasync", "fadvise", "pread"])
        }
    }

    /// A process may have died between the rename of a segment and the sync of its directory: what the next one
    /// acknowledges in that segment would be lost with the name. Found by the simulator.
    @Test func aStartSyncsTheDirectoriesBeforeItTrustsTheNamesInThem() throws {
        let directory = try ScratchDirectory()
        try writeSegments(directory, 2)
        let files = FaultyFileSystem()
        _ = try DrivenLog(directory, fileSystem: files)
        for name in ["/wal", "/checkpoint"] {
            let calls = files.calls.filter { $0.path.hasSuffix(name) }.map(\.operation)
            #expect(calls == ["mkdir", "fsync"], "\(name)")
        }
    }

    /// A power cut that brought the second spare back beside a larger first one would leave a segment in the middle of
    /// another. Found by the simulator.
    @Test func aSecondSpareIsGoneForGoodBeforeTheFirstIsReplaced() throws {
        let directory = try ScratchDirectory()
        let row = try #require(RecoveryRow.all.first { $0.name == "segment-size-changed-with-two-spares" })
        let situation = try row.prepare(directory)
        let files = FaultyFileSystem()
        var configuration = DrivenLog.configuration(directory)
        configuration.segmentBytes = situation.segmentBytes
        _ = try DrivenLog(configuration, fileSystem: files)
        let removal = try #require(
            files.calls.firstIndex { $0.operation == "unlink" && $0.path.hasSuffix(directory.segment(2)) })
        let next = files.calls[(removal + 1)...].first { $0.operation != "close" }
        #expect(next?.operation == "fsync" && next?.path.hasSuffix("/wal") == true)
    }

    @Test func aSegmentThatCannotBeSyncedStopsTheStart() throws {
        let directory = try ScratchDirectory()
        try writeThree(directory)
        let files = FaultyFileSystem()
        files.fail { $0.operation == "fdatasync" ? EIO : nil }
        let before = try directory.snapshot()
        #expect(throws: CommitLogError.self) { try DrivenLog(directory, fileSystem: files) }
        #expect(try directory.snapshot() == before)
        #expect(files.openPaths == [])
    }

    /// Refuses twice in the same words, and changes nothing.
    private func expectRefuses(_ directory: ScratchDirectory, _ isExpected: (CommitLogError) -> Bool) throws {
        let before = try directory.snapshot()
        for _ in 0..<2 {
            do {
                _ = try DrivenLog(directory)
                Issue.record("the start was not refused")
            } catch let error as CommitLogError {
                #expect(isExpected(error), "\(error)")
            }
        }
        #expect(try directory.snapshot() == before)
    }

    /// Opens with what was acknowledged; and what is then acknowledged is there after another crash.
    private func expectOpens(_ directory: ScratchDirectory, _ segmentBytes: Int, _ opening: Opening) throws {
        var configuration = DrivenLog.configuration(directory)
        configuration.segmentBytes = segmentBytes
        let before = try directory.snapshot()
        var added: [[UInt8]] = []
        do {
            let log = try DrivenLog(configuration)
            try expect(opening, log, in: directory, before)
            for byteCount in [1, 5000, 200_000] { try log.commit(bytes: byteCount) }
            added = log.frames
        }
        do {
            let log = try DrivenLog(configuration)
            #expect(log.replayed.frames == opening.frames + added)
            #expect(log.log.recovery.tornBytes == 0)
            #expect(log.log.chain.epoch.rawValue == opening.epoch + 1)
            #expect(log.replayed.epochs == log.replayed.epochs.sorted())
            #expect(log.replayed.checkpoint == opening.checkpoint)
        }
    }

    private func expect(
        _ opening: Opening, _ log: DrivenLog, in directory: ScratchDirectory, _ before: [String: [UInt8]]
    ) throws {
        let report = log.log.recovery
        #expect(log.replayed.frames == opening.frames)
        #expect(report.batchesReplayed == log.replayed.batches.count)
        #expect(report.isNewStore == opening.isNewStore)
        #expect(log.log.chain.epoch.rawValue == opening.epoch)
        #expect(log.replayed.checkpoint == opening.checkpoint)
        #expect((report.checkpoint != nil) == (opening.checkpoint != nil))
        #expect(report.ignoredCheckpoints == opening.ignoredCheckpoints)
        #expect(log.replayed.indexed == opening.indexed)
        #expect(log.log.poisonCause == nil)
        if let segment = opening.continuesIn { #expect(log.log.active.position == segment) }
        if let names = opening.segmentNames {
            log.awaitSpare()
            #expect(directory.names(in: "wal") == names)
        }
        let leftovers = directory.names(in: "checkpoint").filter { $0.hasSuffix(".tmp") }
        #expect(leftovers == [])
        try expectCut(opening, report, in: directory, before)
        for cut in opening.torn { try expectZeros(cut.file, cut.range, behind: log.log, in: directory) }
    }

    /// What was cut is gone from the segment, but for what the start has written there since.
    private func expectZeros(
        _ file: String, _ range: Range<Int>, behind log: CommitLog, in directory: ScratchDirectory
    ) throws {
        let bytes = try #require(try directory.contents(file))
        let isActive = file.hasSuffix(DataDirectory.segmentName(log.active.position))
        let written = isActive ? log.active.end - log.active.position : 0
        let rest = range.clamped(to: max(written, range.lowerBound)..<range.upperBound)
        #expect(!rest.isEmpty || range.count <= ScratchDirectory.block)
        #expect(bytes[rest].allSatisfy { $0 == 0 })
    }

    /// The torn bytes stand under torn/ as they were, and the report says where.
    private func expectCut(
        _ opening: Opening, _ report: RecoveryReport, in directory: ScratchDirectory, _ before: [String: [UInt8]]
    ) throws {
        #expect(report.tornBytes == opening.torn.reduce(0) { $0 + $1.range.count })
        #expect((report.tornPosition != nil) == !opening.torn.isEmpty)
        #expect(report.savedTo.count == opening.torn.count)
        for (name, cut) in zip(report.savedTo, opening.torn) {
            let bytes = try #require(before[cut.file])
            #expect(try directory.contents(name) == Array(bytes[cut.range]))
            #expect(before[name] == nil, "the bytes saved by an earlier cut were overwritten")
            #expect(report.summary.contains(name))
        }
        for (name, bytes) in before where name.hasPrefix("torn/") { #expect(try directory.contents(name) == bytes) }
    }
}
