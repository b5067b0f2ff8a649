import Testing

@testable import WriteAheadLog

struct AppendingTests {
    @Test func aTokenKnowsItsPositionAtOnceAndItsResultWhenItIsDurable() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let first = try log.append(sample(0, bytes: 10))
        let group = try log.append(contentsOf: [sample(1, bytes: 3), [], sample(2, bytes: 7)])
        let last = try log.append(sample(3))
        #expect([first, group, last].map(\.position.rawValue) == [0 as UInt64, 14, 36])
        let result = try group.wait()
        #expect(result == AppendResult(position: group.position, byteCount: 10, recordCount: 3))
        #expect(result.next == last.position)
        #expect(try last.wait().next == log.statistics.next)
        #expect(Set([first, group, last]).count == 3)
    }

    @Test(arguments: [false, true])
    func recordsOfAllSizesComeBackAsTheyWere(isBuffered: Bool) throws {
        let disk = LogOnDisk()
        let log = try disk.open { if isBuffered { $0.directIO = .off } }
        let sizes = [0, 1, 7, 8, 4_000, 4_096, 65_536, log.recordBytesMax]
        let tokens = try sizes.enumerated().map { try log.append(sample($0, bytes: $1)) }
        try log.flush()
        #expect(tokens.allSatisfy { $0.isCompleted })
        #expect(try log.all().map(\.bytes) == sizes.enumerated().map { sample($0, bytes: $1) })
        let limit = log.recordBytesMax + 1
        #expect(throws: WriteAheadLogError.self) { _ = try log.append([UInt8](repeating: 0, count: limit)) }
        #expect(throws: WriteAheadLogError.self) {
            _ = try log.append(contentsOf: [sample(0), [UInt8](repeating: 0, count: limit)])
        }
        #expect(log.statistics.recordsWritten == sizes.count)
    }

    @Test func everyFormOfAnAppendGivesTheSame() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let bytes = sample(1)
        try log.append(bytes).wait()
        try log.append(bytes.span.bytes).wait()
        try bytes.withUnsafeBytes { try log.append($0) }.wait()
        try log.append(contentsOf: [bytes]).wait()
        try log.appendAndWait(bytes)
        try log.appendAndWait(bytes.span.bytes)
        try bytes.withUnsafeBytes { _ = try log.appendAndWait($0) }
        try log.appendAndWait(contentsOf: [bytes])
        #expect(try log.all().map(\.bytes) == Array(repeating: bytes, count: 8))
    }

    @Test func withoutRecordsATokenIsThatOfEverythingBefore() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        #expect(try log.append(contentsOf: []).isCompleted)
        gate.hold()
        let token = try log.append(sample(0))
        let empty = try log.append(contentsOf: [])
        #expect(becomes { gate.isHolding })
        #expect(!empty.isCompleted)
        gate.release()
        #expect(try empty.wait().recordCount == 0)
        #expect(token.isCompleted)
    }

    @Test(arguments: [1, 4, 64], [false, true])
    func tokensOfManyThreadsAreEachAnsweredOnceInTheOrderOfTheirPositions(threads: Int, isWaiting: Bool) throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let count = 6_400 / threads / (isWaiting ? 10 : 1)
        let answers = Guarded<[UInt64: Int]>([:])
        let appended = Guarded<[[RecordPosition]]>(Array(repeating: [], count: threads))
        onThreads(threads) { thread in
            for index in 0..<count {
                do {
                    let token = try log.append(sample(thread * count + index, bytes: 20 + index % 100))
                    token.whenCompleted { _ in answers.withLock { $0[token.id, default: 0] += 1 } }
                    if isWaiting { try token.wait() }
                    appended.withLock { $0[thread].append(token.position) }
                } catch { Issue.record(error) }
            }
        }
        try log.flush()
        #expect(becomes { answers.withLock { $0.count } == threads * count })
        #expect(answers.withLock { $0.values.allSatisfy { $0 == 1 } })
        // Each thread's own order is kept, nothing is between two records, and all are what was appended.
        let positions = appended.withLock { $0 }
        #expect(positions.allSatisfy { $0 == $0.sorted() })
        let records = try log.all()
        #expect(records.count == threads * count)
        #expect(zip(records, records.dropFirst()).allSatisfy { $0.next == $1.position })
        let byPosition = Dictionary(uniqueKeysWithValues: records.map { ($0.position, $0.bytes) })
        for (thread, positions) in positions.enumerated() {
            for (index, position) in positions.enumerated() {
                #expect(byPosition[position] == sample(thread * count + index, bytes: 20 + index % 100))
            }
        }
    }

    @Test func whatIsWithTheDiskIsNotShown() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        try log.append(sample(0)).wait()
        gate.hold()
        let token = try log.append(sample(1))
        #expect(becomes { gate.isHolding })
        #expect(!token.isCompleted)
        #expect(try token.wait(timeout: .zero) == nil)
        #expect(try log.all().count == 1)
        let statistics = log.statistics
        #expect(statistics.durable == token.position && statistics.next > token.position)
        #expect(statistics.inFlightRecords == 1 && statistics.pendingRecords == 1)
        gate.release()
        try token.wait()
        #expect(try log.all().count == 2)
    }

    @Test func aFullLogWaitsOrFailsAsAsked() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated {
            $0.pendingBytes = 1_000
            $0.overflow = .fails
        }
        gate.hold()
        let first = try log.append(sample(0, bytes: 900))
        #expect(becomes { gate.isHolding })
        #expect(throws: WriteAheadLogError.pendingLimit) { _ = try log.append(sample(1, bytes: 900)) }
        gate.release()
        try first.wait()
        try log.append(sample(1, bytes: 5_000)).wait()
        try log.shutdown()

        let (waiting, waitingGate) = try disk.openGated { $0.pendingBytes = 1_000 }
        waitingGate.hold()
        _ = try waiting.append(sample(2, bytes: 900))
        let late = Guarded<CompletionToken?>(nil)
        onThreads(2) { thread in
            if thread == 0 {
                late.withLock { $0 = try? waiting.append(sample(3, bytes: 900)) }
            } else {
                // The other one waits for room: nothing of it is staged.
                #expect(becomes { waiting.loop.lock.withLock { waiting.loop.waiterCount } == 1 })
                #expect(waiting.statistics.pendingRecords == 1)
                waitingGate.release()
            }
        }
        try #require(late.withLock { $0 }).wait()
        #expect(try waiting.all().count == 4)
    }

    @Test func threadsThatFillBothBuffersAllGetThrough() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        onThreads(8) { thread in
            for index in 0..<30 {
                do { _ = try log.append(sample(thread * 30 + index, bytes: 50_000)) } catch { Issue.record(error) }
            }
        }
        try log.flush()
        #expect(try log.all().count == 240)
    }
}
