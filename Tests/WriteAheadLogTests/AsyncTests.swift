import Testing

@testable import WriteAheadLog

struct AsyncTests {
    @Test func manyTasksAwaitTheirAppends() async throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let results = try await withThrowingTaskGroup(of: AppendResult.self) { group in
            for index in 0..<500 {
                group.addTask { try await log.append(sample(index)).value }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(results.map(\.position)).count == 500)
        try await log.flush()
        #expect(try log.all().map(\.position) == results.map(\.position).sorted())
    }

    @Test func aCancelledTaskIsToldAtOnceAndItsRecordIsDurableAllTheSame() async throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        gate.hold()
        let token = try log.append(sample(0))
        let waiting = Task { try await token.value }
        let early = Task { () async throws -> AppendResult in
            while !Task.isCancelled { await Task.yield() }
            return try await token.value
        }
        let patient = Task { try await token.value }
        while log.loop.lock.withLock({ log.loop.observers.count }) < 2 { await Task.yield() }
        waiting.cancel()
        early.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        await #expect(throws: CancellationError.self) { try await early.value }
        #expect(!token.isCompleted)
        gate.release()
        #expect(try await patient.value == token.wait())
        // Behind the answer a cancellation changes nothing for those that have it.
        patient.cancel()
        #expect(try await patient.value.position == token.position)
        #expect(try log.all().map(\.bytes) == [sample(0)])
        #expect(log.loop.lock.withLock { log.loop.observers.isEmpty })
    }

    @Test func waitingHasATimeLimitThatChangesNothing() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        gate.hold()
        let token = try log.append(sample(0))
        for timeout in [
            Duration.zero, .seconds(-5), .seconds(Int64.min), .microseconds(1), .milliseconds(3), .nanoseconds(1),
        ] {
            #expect(try token.wait(timeout: timeout) == nil)
        }
        gate.release()
        for timeout in [Duration.seconds(Int64.max), .seconds(3_600), .zero] {
            try token.wait()
            #expect(try token.wait(timeout: timeout) != nil)
        }
        let otherDisk = LogOnDisk()
        let (other, otherGate) = try otherDisk.openGated()
        otherGate.hold()
        let late = try other.append(sample(1))
        onThreads(2) { thread in
            if thread == 0 {
                let result = try? late.wait(timeout: .seconds(Int64.max))
                #expect(result?.position == late.position)
            } else {
                #expect(becomes { otherGate.isHolding })
                otherGate.release()
            }
        }
    }

    @Test func aGroupGivesItsResultsInOrder() async throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        let group = CompletionGroup()
        #expect(group.allCompleted && group.poll().isEmpty)
        #expect(try group.waitAll().isEmpty)
        let first = try log.append(sample(0))
        group.track(first)
        try first.wait()
        gate.hold()
        let others = try (1...3).map { try log.append(sample($0)) }
        for token in others { group.track(token) }
        #expect(becomes { gate.isHolding })
        #expect(group.count == 4 && group.completedCount == 1 && !group.allCompleted)
        #expect(group.poll() == [first])
        #expect(group.poll().isEmpty)
        #expect(try group.waitAll(timeout: .milliseconds(5)) == nil)
        gate.release()
        #expect(try group.waitAll().map(\.position) == ([first] + others).map(\.position))
        #expect(try group.waitAll(timeout: .zero)?.count == 4)
        #expect(try await group.values().count == 4)
        #expect(group.poll() == others)
        #expect(group.allCompleted)
        group.clear()
        #expect(group.count == 0 && group.allCompleted)
        group.track(first)
        #expect(group.poll() == [first])
    }

    @Test func aCancelledGroupIsToldAtOnce() async throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        gate.hold()
        let group = CompletionGroup()
        group.track(try log.append(sample(0)))
        let task = Task { try await group.values() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        gate.release()
    }
}
