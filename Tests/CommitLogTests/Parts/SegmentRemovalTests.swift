import Glibc
import LogFormat
import Synchronization
import Testing

@testable import CommitLog

/// The files of a retired segment go, and a removal that stops anywhere leaves nothing that matters.
@Suite struct SegmentRemovalTests {
    @Test func aRemovalThatStopsAtAnyCallHarmsNoStartAndIsFinishedLater() throws {
        var failing = 0
        while try stops(atCall: failing) { failing += 1 }
        // The index, the opening of the segment, its shortening, its name, and the directory.
        #expect(failing == 5)
    }

    /// Removes a segment with one call failing; false if there were not so many calls.
    private func stops(atCall failing: Int) throws -> Bool {
        let directory = try ScratchDirectory()
        try write(directory) { log in
            while log.log.segments.count < 3 { try log.commit(bytes: 200_000) }
            try log.checkpoint([1], kept: [1])
        }
        try directory.overwrite("wal/\(DataDirectory.indexName(.zero))", at: 0, with: [1, 2, 3])
        let files = FaultyFileSystem()
        let count = Atomic<Int>(0)
        files.fail { _ in count.add(1, ordering: .relaxed).oldValue == failing ? EIO : nil }
        let removal = SegmentRemoval(directory: directory.directory, fileSystem: files)
        var hasFailed = false
        do { try removal.remove(.zero) } catch { hasFailed = true }
        do {
            let log = try DrivenLog(directory)
            #expect(log.log.segments.first?.position == Position(rawValue: 1 << 20))
            let isLeft = directory.names(in: "wal").contains { $0.hasPrefix("00000000000000000000.") }
            #expect(log.log.hasRetiredLeftovers == isLeft)
        }
        files.fail { _ in nil }
        try removal.remove(.zero)
        #expect(!directory.names(in: "wal").contains { $0.hasPrefix("00000000000000000000.") })
        return hasFailed
    }

    @Test func aLargeSegmentIsShortenedStepByStep() throws {
        let directory = try ScratchDirectory()
        for folder in ["wal", "checkpoint"] { try PosixFileSystem().makeDirectory("\(directory.path)/\(folder)") }
        try directory.overwrite(directory.segment(0), at: 10 << 20, with: [1])
        let files = FaultyFileSystem()
        try SegmentRemoval(directory: directory.directory, fileSystem: files).remove(.zero)
        #expect(files.calls.count { $0.operation == "ftruncate" } == 3)
        #expect(directory.names(in: "wal").isEmpty)
    }

    @Test func whatACheckpointKeepsComesBackAndMustBeInOrderBeforeTheAnchor() throws {
        for (kept, isRight) in [
            ([], true), ([0, 100], true), ([100, 0], false), ([100, 100], false), ([1 << 20], false),
        ]
            as [([UInt64], Bool)]
        {
            let checkpoint = Checkpoint(
                storeID: StoreID(first: 1, second: 2),
                anchor: ScanAnchor(segment: Position(rawValue: 1 << 20), chain: .beginning),
                through: BatchNumber(rawValue: 9), kept: kept.map { Position(rawValue: $0) }, payload: [1, 2])
            let decoded = try? Checkpoint(contents: checkpoint.encoded())
            #expect(decoded?.kept.map(\.rawValue) == (isRight ? kept : nil))
            if isRight { #expect(decoded?.payload == [1, 2]) }
        }
    }
}
