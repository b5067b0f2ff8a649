import CLibURing
import Glibc
import Synchronization
import Testing

@testable import URing

@Suite(.needsRing) struct WaitTests {
    @Test func aMultishotPollFiresForEachArrival() throws {
        let event = try Doorbell()
        var ring = try makeRing()
        let armed = ring.pollMultishot(descriptor: event.descriptor, tag: .number(9))
        #expect(armed)
        for _ in 0..<100 {
            event.ring()
            #expect(try ring.completions(1) == [RingCompletion(tag: .number(9), result: POLLIN, hasMore: true)])
            event.silence()
        }
        #expect(ring.outstandingCount == 1)
    }

    @Test func aPollThatCannotBeArmedSaysThatNoMoreComes() throws {
        var ring = try makeRing()
        let armed = ring.pollMultishot(descriptor: 987_654, tag: .number(9))
        #expect(armed)
        #expect(try ring.completions(1) == [.last(.number(9), -EBADF)])
        #expect(ring.outstandingCount == 0)
    }

    @Test func aWaitEndsAtItsTimeoutWithNothing() throws {
        var ring = try makeRing()
        var completions: [RingCompletion] = []
        for timeoutMicroseconds in [Int64(1), 20_000, 1_100_000] {
            let start = ContinuousClock.now
            try ring.submitAndWait(timeoutMicroseconds: timeoutMicroseconds, into: &completions)
            #expect(ContinuousClock.now - start >= .microseconds(timeoutMicroseconds))
        }
        #expect(completions.isEmpty)
    }

    @Test func noTimeoutMeansWaitingUntilSomethingComes() throws {
        let event = try Doorbell()
        var ring = try makeRing()
        let armed = ring.pollMultishot(descriptor: event.descriptor, tag: .number(9))
        #expect(armed)
        try ring.submit()
        let writer = startThread { event.ring() }
        var completions: [RingCompletion] = []
        while completions.isEmpty { try ring.submitAndWait(timeoutMicroseconds: nil, into: &completions) }
        pthread_join(writer, nil)
        #expect(completions.map(\.tag) == [.number(9)])
    }

    @Test func zeroTakesWhatIsThereAndDoesNotWait() throws {
        let event = try Doorbell()
        var ring = try makeRing()
        var completions: [RingCompletion] = []
        let armed = ring.pollMultishot(descriptor: event.descriptor, tag: .number(9))
        #expect(armed)
        try ring.submitAndWait(timeoutMicroseconds: 0, into: &completions)
        #expect(completions.isEmpty)
        // The poll's completion is deferred to the next entry of the kernel, which has nothing to submit.
        event.ring()
        try ring.submitAndWait(timeoutMicroseconds: 0, into: &completions)
        #expect(completions == [RingCompletion(tag: .number(9), result: POLLIN, hasMore: true)])
    }

    @Test func aSignalEndsTheWaitWithoutAnError() throws {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        #expect(sigaction(SIGUSR2, &action, nil) == 0)
        // The threads that run tests block signals.
        var signals = sigset_t()
        var signalsBefore = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGUSR2)
        pthread_sigmask(SIG_UNBLOCK, &signals, &signalsBefore)
        defer { pthread_sigmask(SIG_SETMASK, &signalsBefore, nil) }
        var ring = try makeRing()
        var completions: [RingCompletion] = []
        let waiter = pthread_self()
        let hasReturned = Flag()
        let sender = startThread {
            while !hasReturned.value.load(ordering: .acquiring) {
                pthread_kill(waiter, SIGUSR2)
                sched_yield()
            }
        }
        defer { pthread_join(sender, nil) }
        defer { hasReturned.value.store(true, ordering: .releasing) }
        try ring.submitAndWait(timeoutMicroseconds: nil, into: &completions)
        try ring.submitAndWait(timeoutMicroseconds: 3_600_000_000, into: &completions)
        #expect(completions.isEmpty)
    }

    @Test func aFullQueueRefusesAndKeepsWhatItHas() throws {
        let file = try ScratchFile()
        let target = FileTarget.descriptor(file.descriptor)
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing(entries: 4)
        for number in 0..<4 {
            let queued = ring.fsync(file: target, dataOnly: true, tag: .number(UInt64(number)))
            #expect(queued)
        }
        let refused = [
            ring.fsync(file: target, dataOnly: true, tag: .number(4)),
            ring.write(file: target, buffer: buffer.prefix(1), fileOffset: 0, dataSync: false, tag: .number(4)),
            ring.read(file: target, buffer: buffer.bytes, fileOffset: 0, tag: .number(4)),
            ring.pollMultishot(descriptor: file.descriptor, tag: .number(4)),
        ]
        #expect(refused == [false, false, false, false])
        #expect(ring.outstandingCount == 4)
        #expect(Set(try ring.completions(4).map(\.tag.number)) == [0, 1, 2, 3])
        #expect(ring.outstandingCount == 0)
    }

    @Test func moreCompletionsThanABatchComeInSeveralCalls() throws {
        let buffer = AlignedBuffer(byteCount: 1)
        var ring = try makeRing(entries: 512)
        for number in 0..<400 {
            let queued = ring.queueFailing(buffer, number: number)
            #expect(queued)
        }
        var completions: [RingCompletion] = []
        try ring.submitAndWait(timeoutMicroseconds: 1_000_000, into: &completions)
        #expect(completions.count == Ring.batchCompletionCountMax)
        try ring.submitAndWait(timeoutMicroseconds: 1_000_000, into: &completions)
        #expect(completions.map(\.tag.number) == (0..<400).map { UInt64($0) })
    }

    /// More completions than the completion queue has places: the kernel keeps the rest and gives it later.
    @Test func aFullCompletionQueueLosesNothing() throws {
        let buffer = AlignedBuffer(byteCount: 1)
        var ring = try makeRing(entries: 4)
        for number in 0..<100 {
            let queued = ring.queueFailing(buffer, number: number)
            #expect(queued)
            if ring.queuedCount == 4 { try ring.submit() }
        }
        #expect(try ring.completions(100).map(\.tag.number) == (0..<100).map { UInt64($0) })
    }
}

extension Ring {
    /// Queues a write that completes as soon as it is submitted, as its descriptor is not open.
    fileprivate mutating func queueFailing(_ buffer: AlignedBuffer, number: Int) -> Bool {
        write(
            file: .descriptor(987_654), buffer: buffer.prefix(1), fileOffset: 0, dataSync: false,
            tag: .number(UInt64(number)))
    }
}

/// A flag that threads share.
final class Flag: Sendable {
    let value = Atomic(false)
}

/// Runs `body` on a new thread, to be joined.
func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let result = pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    precondition(result == 0, "a thread starts")
    return thread
}
