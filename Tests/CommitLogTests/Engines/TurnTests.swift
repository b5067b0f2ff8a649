import Glibc
import LogFormat
import Testing

@testable import CommitLog

/// When the loop hands over, seals, lingers and sleeps; on a clock that stands still.
struct TurnTests {
    private let clock = TestClock()

    private func open(
        _ directory: ScratchDirectory, fileSystem: any FileSystem = PosixFileSystem(),
        decorate: @escaping (any LogDevice) -> any LogDevice = { $0 }
    ) throws -> DrivenLog {
        try DrivenLog(
            DrivenLog.configuration(directory), fileSystem: fileSystem, clock: clock, decorate: decorate)
    }

    @Test func aSecondWithoutAppendsSealsTheLog() throws {
        let directory = try ScratchDirectory()
        do {
            let log = try open(directory)
            try log.commit(bytes: 10)
            #expect(log.log.turn() == 1_000_000)
            clock.advance(microseconds: 999_999)
            #expect(log.log.turn() == 1)
            #expect(log.batches.count == 1)
            clock.advance(microseconds: 1)
            #expect(log.log.turn() == nil)
            while log.batches.count == 1 { log.wait(timeoutMicroseconds: nil) }
            clock.advance(microseconds: 5_000_000)
            #expect(log.log.turn() == nil, "a sealed log is not sealed again")
            try log.commit(bytes: 10)
            #expect(log.log.turn() == 1_000_000)
        }
        #expect(try DrivenLog(directory).replayed.kinds == [.epoch, .append, .seal, .append])
    }

    @Test func aLogThatIsStoppedTwiceIsSealedOnce() throws {
        let directory = try ScratchDirectory()
        do {
            let log = try open(directory)
            try log.commit(bytes: 10)
            #expect(log.finish())
            #expect(log.finish())
        }
        #expect(try DrivenLog(directory).replayed.kinds == [.epoch, .append, .seal])
    }

    @Test func framesStagedAtTheStopAreDurableBeforeTheSeal() throws {
        let directory = try ScratchDirectory()
        do {
            let log = try open(directory)
            try log.stage([1])
            _ = log.log.turn()
            try log.stage([2])
            #expect(log.finish())
        }
        let replayed = try DrivenLog(directory).replayed
        #expect(replayed.kinds == [.epoch, .append, .append, .seal])
        #expect(replayed.batches.count == 4)
    }

    @Test func aBatchWithTheDiskWakesTheLoopByItsCompletionAlone() throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        let log = try open(directory, decorate: holder.decorate)
        holder.device.holdsWrites = true
        try log.stage([1])
        #expect(log.log.turn() == nil)
        // A disk that hangs for a minute must not make the loop spin.
        clock.advance(microseconds: 60_000_000)
        #expect(log.log.turn() == nil)
        holder.device.holdsWrites = false
        while log.batches.isEmpty { log.wait() }
    }

    @Test func aSealThatFindsNoSegmentDoesNotMakeTheLoopSpin() throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        files.fail { $0.operation == "rename" && !$0.path.hasSuffix("/00000000000000000000.seg.tmp") ? ENOSPC : nil }
        let log = try open(directory, fileSystem: files)
        while log.log.active.remainingBytes > 0 {
            let room = min(log.log.active.remainingBytes, 40 * ScratchDirectory.block)
            try log.commit(bytes: room - BatchHeader.byteCount - FrameHeader.byteCount - 4)
        }
        clock.advance(microseconds: 1_000_000)
        #expect(log.log.turn() == 1_000_000)
        #expect(log.log.turn() == 1_000_000)
    }

    @Test func aLingeringLogStarts() throws {
        let directory = try ScratchDirectory()
        var configuration = DrivenLog.configuration(directory)
        configuration.lingerMicroseconds = 2000
        for _ in 0..<2 {
            let log = try DrivenLog(configuration)
            log.awaitSpare()
            #expect(log.finish())
        }
    }

    @Test func aBatchLingersForCompanyAndNoLonger() throws {
        let directory = try ScratchDirectory()
        // The time of the first batch, the epoch's, passes by itself.
        let ticking = SystemClock()
        var configuration = DrivenLog.configuration(directory)
        configuration.lingerMicroseconds = 50_000
        let holder = DeviceHolder()
        let log = try DrivenLog(configuration, clock: ticking, decorate: holder.decorate)
        let writes = holder.device.writes.count
        try log.stage([1])
        let remaining = try #require(log.log.turn())
        #expect(remaining > 0 && remaining <= 50_000)
        #expect(holder.device.writes.count == writes)
        // Half of the largest batch does not wait.
        try log.stage(log.record(DrivenLog.batchBytesMax / 2))
        #expect(log.log.turn() == nil)
        #expect(holder.device.writes.count == writes + 1)
        while log.batches.isEmpty { log.wait() }
        #expect(log.frames.count == 2)
    }
}
