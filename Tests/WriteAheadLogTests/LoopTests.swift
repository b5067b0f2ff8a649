import Foundation
import LogFormat
import Testing

@testable import CommitLog
@testable import WriteAheadLog

/// Who wakes the loop, and what it does when nobody does.
struct LoopTests {
    @Test func recordsThatLingerAreCommittedThoughTheFirstOneWokeNobody() throws {
        let directory = LogOnDisk()
        var configuration = LogOnDisk.configuration
        configuration.commitLingerMicroseconds = 10_000
        let log = try directory.open(configuration)
        #expect(becomes { log.loop.lock.withLock { log.loop.sleepsForever } })
        let first = try log.stage([1])
        let second = try log.append([2])
        let ended = onThread { _ = try? first.wait() }
        #expect(ended.comes)
        #expect(second.isCompleted)
        try log.shutdown()
    }

    @Test func theLoopNeverSleepsLongerThanWhatLingersMayWait() throws {
        let directory = LogOnDisk()
        var configuration = LogOnDisk.configuration
        configuration.groupRecords = 3
        configuration.groupMicroseconds = 5_000
        let log = try directory.open(configuration)
        let group = CompletionGroup()
        for number in 0..<500 {
            group.track(try log.append([1]))
            log.loop.lock.withLock {
                guard log.loop.isAsleep, let wal = log.loop.records?.log, !wal.commit.isInFlight, wal.staged.frames > 0
                else { return }
                #expect(log.loop.sleepsUntil - wal.fillingSince <= 5_000)
            }
            // Alone, behind others that made the loop look by itself, and behind some that it knows nothing of.
            if number % 7 == 0 { try group.waitAll() }
            if number % 3 == 0 { try log.appendAndWait([2]) }
        }
        try log.shutdown()
    }

    @Test func aFailureOfAWaitingThreadsWriteReachesEverybodyThoughTheLoopWasAwake() throws {
        let directory = LogOnDisk()
        let (log, gate) = try directory.openGated(writesForCallers: true)
        // Nothing else is to wake it: the spare segment is there.
        #expect(becomes { log.loop.lock.withLock { log.loop.sleepsForever } })
        let hold = try log.occupyLoop()
        let first = try log.stage([2])
        let (ended, told) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        gate.onWriteHere {
            guard let second = try? log.append([3]) else { return EIO }
            second.whenCompleted { _ in told.signal() }
            Thread.detachNewThread {
                _ = try? second.wait()
                ended.signal()
            }
            return EIO
        }
        #expect(throws: WriteAheadLogError.self) { try first.wait() }
        hold.release()
        #expect(ended.comes)
        #expect(told.comes)
        #expect(throws: WriteAheadLogError.self) { try log.shutdown() }
    }

    @Test func callbacksAreToldOfWhatAWaitingThreadCommittedThoughTheLogEndsThen() throws {
        let directory = LogOnDisk()
        let log = try directory.open()
        let hold = try log.occupyLoop()
        let token = try log.stage([2])
        let told = DispatchSemaphore(value: 0)
        token.whenCompleted { _ in told.signal() }
        try token.wait()
        let ended = onThread { try? log.shutdown() }
        #expect(becomes { log.loop.lock.withLock { log.loop.isShutDown } })
        hold.release()
        #expect(ended.comes)
        #expect(told.comes)
    }

    @Test func theDirectoryIsFreeBehindShutdownThoughAThreadStillHoldsTheStream() throws {
        let directory = LogOnDisk()
        let log = try directory.open()
        let records = try log.loop.withRecords { $0 }
        try log.shutdown()
        let again = try directory.open()
        try again.shutdown()
        withExtendedLifetime(records) {}
    }

    @Test func aSecondShutdownIsHarmlessOnAThreadThatHasTheNumberOfTheLoopsThread() throws {
        let directory = LogOnDisk()
        let log = try directory.open()
        try log.shutdown()
        for _ in 0..<20 {
            let ended = onThread { try? log.shutdown() }
            #expect(ended.comes)
        }
    }

    @Test func flushSaysThatWhatWasAcceptedFailedThoughNothingWasWithTheDisk() throws {
        let directory = LogOnDisk()
        let (log, gate) = try directory.openGated { $0.commitLingerMicroseconds = 10_000_000 }
        let token = try log.append([1])
        gate.failEngine()
        log.loop.lock.lock()
        log.loop.unlockAndWake(if: true)
        #expect(becomes { token.isCompleted })
        #expect(throws: WriteAheadLogError.self) { try token.wait() }
        #expect(throws: WriteAheadLogError.self) { try log.flush() }
        #expect(throws: WriteAheadLogError.self) { try log.shutdown() }
    }

    @Test func spaceOfWhatWasLetGoOfComesBackThoughNothingElseHappens() throws {
        let directory = LogOnDisk()
        let log = try directory.open()
        let record = [UInt8](repeating: 7, count: 100_000)
        var last = AppendResult(position: .zero, byteCount: 0, recordCount: 0)
        while try log.look(\.segments.count) < 5 { last = try log.appendAndWait(record) }
        // Checkpoints of the turns are written, and the log is sealed.
        #expect(try becomes { try log.look { !$0.isWritingCheckpoint } })
        try log.truncateFront(before: last.position).wait()
        #expect(try becomes { try log.look(\.segments.count) == 1 })
        try log.shutdown()
    }

    @Test func aReaderAtTheEndOfASegmentThatIsGoneGoesOnWithTheNextOne() throws {
        let directory = LogOnDisk()
        let log = try directory.open()
        let reader = try log.records(from: .zero)
        let record = [UInt8](repeating: 7, count: 100_000)
        var last = try log.appendAndWait(record)
        while try log.look(\.segments.count) == 1 {
            #expect(try reader.next()?.position == last.position)
            last = try log.appendAndWait(record)
        }
        #expect(reader.position == last.position)
        try log.truncateFront(before: last.position).wait()
        #expect(try becomes { try log.look(\.segments.count) == 1 })
        #expect(try reader.next()?.position == last.position)
        try log.shutdown()
    }

    @Test func appendsGoOnWhenTheDiskHasRoomAgainThoughTheLogSlept() throws {
        let directory = LogOnDisk()
        var configuration = LogOnDisk.configuration
        configuration.overflow = .fails
        let log = try directory.open(configuration)
        // The segment behind the spare one cannot be made.
        let next = try log.look {
            DataDirectory(path: directory.path).segmentPath($0.active.limit + $0.active.byteCount)
        }
        try FileManager.default.createDirectory(atPath: next + ".tmp/in-the-way", withIntermediateDirectories: true)
        let record = [UInt8](repeating: 7, count: 100_000)
        var failure: WriteAheadLogError?
        #expect(
            becomes {
                do throws(WriteAheadLogError) { try log.appendAndWait(record) } catch { failure = error }
                guard case .noSpace = failure else { return false }
                return true
            })
        #expect(becomes { log.loop.lock.withLock { log.loop.sleepsForever } })
        try FileManager.default.removeItem(atPath: next + ".tmp")
        #expect(
            becomes {
                do throws(WriteAheadLogError) { try log.appendAndWait(record) } catch { return false }
                return true
            })
        try log.shutdown()
    }

    @Test func absurdTimesAreTakenForTheirLimits() throws {
        let directory = LogOnDisk()
        var configuration = LogOnDisk.configuration
        configuration.commitLingerMicroseconds = 10_000_000
        let log = try directory.open(configuration)
        let token = try log.append([1])
        #expect(try token.wait(timeout: .seconds(Int64.min)) == nil)
        try log.submitPending()
        #expect(try token.wait(timeout: .seconds(Int64.max)) != nil)
        try log.shutdown()
    }

    @Test func aCheckpointOfPlacesThatNoLogReachesIsRefused() throws {
        let far = RecordPosition(rawValue: .max - 1)
        let zero = RecordPosition.zero
        let payloads = [
            RecordCheckpoint(first: far, lastTimestamp: .zero, segments: []),
            RecordCheckpoint(first: zero, lastTimestamp: Timestamp(rawValue: .max), segments: []),
            RecordCheckpoint(first: zero, lastTimestamp: .zero, segments: [.init(position: .zero, first: far)]),
            RecordCheckpoint(
                first: zero, lastTimestamp: .zero, segments: [.init(position: Position(rawValue: .max), first: zero)]),
        ]
        for payload in payloads {
            let bytes = payload.encoded
            #expect(throws: FormatError.badField) {
                try bytes.withUnsafeBytes { _ = try RecordCheckpoint(decoding: $0) }
            }
        }
    }
}
