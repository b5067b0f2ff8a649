import Glibc
import Testing

@testable import WriteAheadLog

struct ShutdownTests {
    @Test func whatWasAcceptedIsDurableAndLaterAppendsAreRefused() throws {
        let disk = LogOnDisk()
        let log = try disk.open { $0.commitLingerMicroseconds = 10_000_000 }
        let tokens = try (0..<10).map { try log.append(sample($0)) }
        try log.shutdown()
        #expect(tokens.allSatisfy { $0.isCompleted })
        for token in tokens { try token.wait() }
        #expect(throws: WriteAheadLogError.shutDown) { _ = try log.append(sample(10)) }
        #expect(throws: WriteAheadLogError.shutDown) { try log.appendAndWait(sample(10)) }
        #expect(throws: WriteAheadLogError.shutDown) { try log.flush() }
        #expect(throws: WriteAheadLogError.shutDown) { try log.submitPending() }
        #expect(throws: WriteAheadLogError.shutDown) { _ = try log.truncateFront(before: .zero) }
        #expect(throws: WriteAheadLogError.shutDown) { _ = try log.records(from: .zero) }
        #expect(log.statistics.recordsWritten == 10 && log.statistics.pendingRecords == 0)
        try log.shutdown()
        let again = try disk.open()
        #expect(try again.all().map(\.bytes) == (0..<10).map { sample($0) })
        #expect(again.recovery.next == tokens[9].position.advanced(records: 1, bytes: 20))
    }

    /// Every append of many threads is accepted, and then durable, or refused.
    @Test(arguments: 0..<8)
    func aShutdownRacesWithAppends(round: Int) throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let accepted = Guarded<[CompletionToken]>([])
        let told = Guarded(0)
        onThreads(10) { thread in
            do throws(WriteAheadLogError) {
                if thread >= 8 {
                    while accepted.withLock({ $0.count }) < 20 * round { sched_yield() }
                    return try log.shutdown()
                }
                while true {
                    let token = try log.append(sample(thread))
                    accepted.withLock { $0.append(token) }
                    token.whenCompleted { _ in told.withLock { $0 += 1 } }
                    if thread % 2 == 0 { try token.wait() }
                }
            } catch {
                #expect(error == .shutDown)
            }
        }
        let tokens = accepted.withLock { $0 }
        #expect(tokens.allSatisfy { $0.isCompleted })
        for token in tokens { try token.wait() }
        #expect(told.withLock { $0 } == tokens.count)
        let again = try disk.open()
        #expect(try again.all().map(\.position) == tokens.map(\.position).sorted())
    }

    @Test func anAppendThatWaitsForRoomIsRefused() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated { $0.pendingBytes = 500 }
        gate.hold()
        let token = try log.append(sample(0, bytes: 450))
        let refused = Guarded(false)
        onThreads(3) { thread in
            switch thread {
            case 0:
                do throws(WriteAheadLogError) { _ = try log.append(sample(1, bytes: 450)) } catch {
                    refused.withLock { $0 = error == .shutDown }
                }
                gate.release()
            case 1:
                #expect(becomes { gate.isHolding && log.loop.lock.withLock { log.loop.waiterCount } == 1 })
                #expect(throws: Never.self) { try log.shutdown() }
            default: break
            }
        }
        #expect(refused.withLock { $0 })
        try token.wait()
    }

    @Test func aForgottenLogIsShutDown() throws {
        let disk = LogOnDisk()
        var log: WriteAheadLog? = try disk.open { $0.commitLingerMicroseconds = 10_000_000 }
        let token = try #require(log).append(sample(0))
        log = nil
        try token.wait()
        #expect(try disk.open().all().count == 1)
    }

    @Test func aLogMayBeForgottenInACallback() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        gate.hold()
        let holder = Guarded<WriteAheadLog?>(nil)
        let token = try log.append(sample(0))
        let isTold = Guarded(false)
        func hand(_ log: consuming WriteAheadLog) { holder.withLock { $0 = log } }
        hand(log)
        #expect(becomes { gate.isHolding })
        token.whenCompleted { _ in
            holder.withLock { $0 = nil }
            isTold.withLock { $0 = true }
        }
        gate.release()
        try token.wait()
        #expect(becomes { isTold.withLock { $0 } })
    }

    @Test func oneProcessHasADirectoryOpenOnce() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        #expect(throws: WriteAheadLogError.inUse(directory: disk.path)) { _ = try disk.open() }
        try log.shutdown()
        _ = try disk.open()
    }

    @Test func waitingForTheLogInItsCallbackTraps() async {
        await #expect(processExitsWith: .failure) {
            let disk = LogOnDisk()
            let (log, gate) = try disk.openGated()
            gate.hold()
            let token = try log.append([1])
            let other = try log.append([2])
            token.whenCompleted { _ in
                _ = try? log.append([3]).wait()
                _ = other
            }
            gate.release()
            try other.wait()
            while true { sched_yield() }
        }
        await #expect(processExitsWith: .failure) {
            let disk = LogOnDisk()
            let (log, gate) = try disk.openGated()
            gate.hold()
            try log.append([1]).whenCompleted { _ in try? log.shutdown() }
            gate.release()
            while true { sched_yield() }
        }
    }

    @Test func aCallbackMayAppend() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let count = Guarded(0)
        @Sendable func go(_ result: Result<AppendResult, WriteAheadLogError>) {
            let next = count.withLock { count in
                count += 1
                return count
            }
            guard next < 50, let token = try? log.append(sample(next)) else { return }
            token.whenCompleted(go)
        }
        try log.append(sample(0)).whenCompleted(go)
        #expect(becomes { count.withLock { $0 } == 50 })
        #expect(try log.all().count == 50)
    }
}
