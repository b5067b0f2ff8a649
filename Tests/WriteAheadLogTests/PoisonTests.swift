import Glibc
import Testing

@testable import WriteAheadLog

struct PoisonTests {
    /// What a failing write or sync is told to everybody who has an open token, in every form of asking.
    @Test(arguments: [false, true], [false, true])
    func aFailureReachesEveryoneWhoWaits(isSync: Bool, isBuffered: Bool) async throws {
        guard !isSync || isBuffered else { return }
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated { $0.directIO = isBuffered ? .off : .on }
        try log.append(sample(0)).wait()
        gate.hold()
        let inFlight = try log.append(sample(1))
        #expect(becomes { gate.isHolding })
        let staged = try log.append(sample(2))
        let told = Guarded(0)
        for token in [inFlight, staged] {
            token.whenCompleted { result in
                guard case .failure(.poisoned) = result else { return }
                told.withLock { $0 += 1 }
            }
        }
        let awaiting = Task { try await staged.value }
        let flushing = Task { try await log.flush() }
        let group = CompletionGroup()
        for token in [inFlight, staged] { group.track(token) }
        let blocked = Guarded(0)
        let gateHolder = gate
        await withCheckedContinuation { continuation in
            onThreadsWithoutWaiting(3) { thread in
                if thread == 2 {
                    isSync ? gateHolder.failNext(sync: EIO) : gateHolder.failNext(write: ENOSPC)
                    return
                }
                do throws(WriteAheadLogError) { try (thread == 0 ? inFlight : staged).wait() } catch {
                    if case .poisoned = error { blocked.withLock { $0 += 1 } }
                }
            } then: {
                continuation.resume()
            }
        }
        #expect(blocked.withLock { $0 } == 2)
        await #expect(throws: WriteAheadLogError.self) { try await awaiting.value }
        await #expect(throws: WriteAheadLogError.self) { try await flushing.value }
        #expect(throws: WriteAheadLogError.self) { try group.waitAll() }
        await #expect(throws: WriteAheadLogError.self) { try await group.values() }
        #expect(becomes { told.withLock { $0 } == 2 })
        #expect(inFlight.isCompleted && staged.isCompleted && group.allCompleted)
        #expect(throws: WriteAheadLogError.self) { try inFlight.wait(timeout: .seconds(1)) }

        // Nothing is accepted any more; what was durable before is there.
        let statistics = log.statistics
        #expect(statistics.poisoned != nil && statistics.pendingRecords == 0 && statistics.recordsWritten == 1)
        #expect(throws: WriteAheadLogError.self) { _ = try log.append(sample(3)) }
        #expect(throws: WriteAheadLogError.self) { _ = try log.truncateFront(before: .zero) }
        #expect(try log.all().map(\.bytes) == [sample(0)])
        #expect(throws: WriteAheadLogError.self) { try log.shutdown() }
        #expect(throws: WriteAheadLogError.self) { try log.shutdown() }

        let again = try disk.open()
        let found = try again.all().map(\.bytes)
        // What failed may be there, in its order, and the log goes on behind it.
        #expect(found == [sample(0)] || found == [sample(0), sample(1)])
        try again.append(sample(4)).wait()
        #expect(try again.all().map(\.bytes) == found + [sample(4)])
    }

    @Test func aThreadThatWritesByItselfPoisonsForAll() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated(writesForCallers: true)
        try log.appendAndWait(sample(0))
        gate.hold()
        let failures = Guarded(0)
        onThreads(4) { thread in
            if thread == 3 {
                #expect(becomes { gate.hereCount == 2 && log.statistics.pendingRecords == 3 })
                gate.failNext(write: EIO)
            } else {
                do throws(WriteAheadLogError) { try log.appendAndWait(sample(1)) } catch {
                    if case .poisoned = error { failures.withLock { $0 += 1 } }
                }
            }
        }
        #expect(failures.withLock { $0 } == 3)
        #expect(throws: WriteAheadLogError.self) { try log.shutdown() }
    }

    @Test func anAppendThatWaitsForRoomIsToldAsWell() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated { $0.pendingBytes = 500 }
        gate.hold()
        _ = try log.append(sample(0, bytes: 450))
        let refused = Guarded(false)
        onThreads(2) { thread in
            if thread == 1 {
                #expect(becomes { gate.isHolding && log.loop.lock.withLock { log.loop.waiterCount } == 1 })
                gate.failNext(write: EIO)
            } else {
                do throws(WriteAheadLogError) { _ = try log.append(sample(1, bytes: 450)) } catch {
                    if case .poisoned = error { refused.withLock { $0 = true } }
                }
            }
        }
        #expect(refused.withLock { $0 })
    }
}
