import Glibc
import LogFormat
import Synchronization
import Testing

@testable import CommitLog

/// A server that was killed may still have a write with the kernel, which holds the segment's lock.
@Suite struct PredecessorTests {
    @Test(arguments: [EngineChoice.auto, .syscalls])
    func theSegmentsThatCommitsMayGoToAreLocked(engine: EngineChoice) throws {
        let directory = try ScratchDirectory()
        var configuration = DrivenLog.configuration(directory)
        configuration.engine = engine
        for _ in 0..<2 {
            let log = try DrivenLog(configuration)
            log.awaitSpare()
            let segmentCount = log.log.segments.count
            while log.log.segments.count == segmentCount { try log.commit(bytes: 200_000) }
            log.awaitSpare()
            let active = log.log.active
            #expect(try !isFree(directory, active.position))
            #expect(try !isFree(directory, active.limit))
        }
    }

    @Test func aStartWaitsForTheWriteOfAKilledPredecessor() throws {
        let directory = try ScratchDirectory()
        try DrivenLog(directory).commit(bytes: 1000)
        // The opening that a write under way would hold.
        let files = PosixFileSystem()
        let held = try files.open(directory.directory.segmentPath(.zero), .write)
        while try !files.lock(held, isShared: false) { usleep(1000) }
        let isReleased = Atomic<Bool>(false)
        let thread = try startThread {
            usleep(300_000)
            isReleased.store(true, ordering: .sequentiallyConsistent)
            files.close(held)
        }
        let log = try DrivenLog(directory)
        let hasWaited = isReleased.load(ordering: .sequentiallyConsistent)
        #expect(hasWaited)
        #expect(log.replayed.frames.count == 1)
        pthread_join(thread, nil)
    }

    private func isFree(_ directory: ScratchDirectory, _ segment: Position) throws -> Bool {
        let files = PosixFileSystem()
        let descriptor = try files.open(directory.directory.segmentPath(segment), .read)
        defer { files.close(descriptor) }
        return try files.lock(descriptor, isShared: true)
    }
}
