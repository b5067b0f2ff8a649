import Testing

@testable import WriteAheadLog

struct TruncationTests {
    @Test func whatIsBeforeIsGoneAlsoBehindARestart() throws {
        let disk = LogOnDisk()
        var log = try disk.open()
        let tokens = try (0..<10).map { try log.append(sample($0)) }
        try log.truncateFront(before: tokens[4].position).wait()
        for _ in 0..<3 {
            #expect(log.statistics.first == tokens[4].position)
            #expect(try log.all(from: tokens[4].position).map(\.bytes) == (4..<10).map { sample($0) })
            #expect(throws: WriteAheadLogError.truncated(first: tokens[4].position)) { _ = try log.all() }
            // Gone already: no error, and nothing changes.
            try log.truncateFront(before: tokens[2].position).wait()
            try log.shutdown()
            log = try disk.open()
            #expect(log.recovery.first == tokens[4].position)
        }
        // To the very end, and on.
        let end = log.statistics.next
        try log.truncateFront(before: end).wait()
        #expect(try log.records(from: end).next() == nil)
        try log.shutdown()
        log = try disk.open()
        #expect(log.recovery.first == end && log.recovery.next == end)
        #expect(try log.append(sample(10)).wait().position == end)
        #expect(try log.all(from: end).map(\.bytes) == [sample(10)])
    }

    @Test func aTruncationIsShownWhenItIsDurable() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        let end = try log.append(sample(0)).wait().next
        gate.hold()
        let token = try log.truncateFront(before: end)
        let again = try log.truncateFront(before: end)
        #expect(becomes { gate.isHolding })
        #expect(!token.isCompleted && !again.isCompleted)
        #expect(try log.all().count == 1)
        gate.release()
        try again.wait()
        #expect(token.isCompleted)
        #expect(throws: WriteAheadLogError.truncated(first: end)) { _ = try log.all() }
    }

    @Test func theSpaceComesBack() throws {
        let disk = LogOnDisk()
        var log = try disk.open()
        for round in 0..<3 {
            for index in 0..<100 { _ = try log.append(sample(index, bytes: 50_000)) }
            try log.flush()
            #expect(disk.segmentNames.count >= 5)
            let last = try log.append(sample(round))
            try log.truncateFront(before: last.position).wait()
            #expect(becomes { disk.segmentNames.count <= 2 && log.statistics.diskBytes <= 2 << 20 })
            #expect(try log.all(from: last.position).map(\.bytes) == [sample(round)])
            try log.shutdown()
            log = try disk.open()
            #expect(log.recovery.first == last.position)
            #expect(try log.all(from: last.position).map(\.bytes) == [sample(round)])
        }
    }

    @Test func aReaderOfWhatGoesIsTold() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        for index in 0..<60 { _ = try log.append(sample(index, bytes: 50_000)) }
        try log.flush()
        let reader = try log.records(from: .zero)
        #expect(try reader.next()?.bytes == sample(0, bytes: 50_000))
        let last = try log.append(sample(60)).wait()
        try log.truncateFront(before: last.position).wait()
        #expect(becomes { disk.segmentNames.count <= 2 })
        // What it has read already it may still give; then it says so, and not that something is damaged.
        let error = #expect(throws: WriteAheadLogError.self) { while try reader.next() != nil {} }
        #expect(error == .truncated(first: last.position))
    }

    @Test func truncatingBesideWritersAndReadersLosesNothingThatIsKept() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let done = Guarded(false)
        onThreads(4) { thread in
            do {
                if thread < 2 {
                    for index in 0..<300 { _ = try log.append(sample(thread * 300 + index, bytes: 20_000)) }
                    if thread == 0 { done.withLock { $0 = true } }
                } else if thread == 2 {
                    while !done.withLock({ $0 }) {
                        let place = log.statistics.durable
                        try log.truncateFront(before: place).wait()
                    }
                } else {
                    while !done.withLock({ $0 }) {
                        let reader = try log.records(from: log.statistics.durable)
                        do throws(WriteAheadLogError) { while try reader.next() != nil {} } catch {
                            guard case .truncated = error else { throw error }
                        }
                    }
                }
            } catch WriteAheadLogError.truncated {
                // The front went on between the two looks.
            } catch { Issue.record(error) }
        }
        try log.flush()
        let first = log.statistics.first
        let kept = try log.all(from: first)
        #expect(kept.last?.next == log.statistics.next || kept.isEmpty)
        try log.shutdown()
        let again = try disk.open()
        #expect(again.recovery.first == first)
        #expect(try again.all(from: first) == kept)
    }
}
