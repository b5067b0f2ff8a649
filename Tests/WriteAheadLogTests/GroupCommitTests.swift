import Testing

@testable import WriteAheadLog

struct GroupCommitTests {
    private static let longMicroseconds = 10_000_000

    @Test func anAppendWaitsForCompanyUntilItIsAskedFor() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated { $0.commitLingerMicroseconds = Self.longMicroseconds }
        for ask in [{ try log.submitPending() }, { try log.flush() }] {
            let before = gate.writeCount
            let tokens = try (0..<5).map { try log.append(sample($0)) }
            // Each of these gives the loop a turn of its own.
            #expect(try tokens[0].wait(timeout: .milliseconds(20)) == nil)
            #expect(gate.writeCount == before)
            try ask()
            for token in tokens { try token.wait() }
            #expect(gate.writeCount == before + 1)
        }
    }

    @Test func enoughCompanyCommitsAtOnce() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated {
            $0.commitLingerMicroseconds = Self.longMicroseconds
            $0.commitRecords = 5
        }
        let before = gate.writeCount
        let tokens = try (0..<5).map { try log.append(sample($0)) }
        for token in tokens { try token.wait() }
        #expect(gate.writeCount == before + 1)
    }

    @Test func halfABufferDoesNotLinger() throws {
        let disk = LogOnDisk()
        let log = try disk.open { $0.commitLingerMicroseconds = Self.longMicroseconds }
        let tokens = try (0..<7).map { try log.append(sample($0, bytes: 10_000)) }
        #expect(try tokens[6].wait(timeout: .seconds(5)) != nil)
    }

    /// The linger is over by itself: without anybody else the token is answered.
    @Test(arguments: [0, 1, 20_000])
    func aLoneAppendIsCommittedWithinItsLinger(microseconds: Int) throws {
        let disk = LogOnDisk()
        let log = try disk.open { $0.commitLingerMicroseconds = microseconds }
        for index in 0..<5 {
            let token = try log.append(sample(index))
            #expect(becomes { token.isCompleted })
        }
        let token = try log.append(sample(5))
        try token.wait()
    }

    @Test func fixedGroupsHoldExactlySoManyRecords() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated {
            $0.groupRecords = 8
            $0.groupMicroseconds = Self.longMicroseconds
        }
        let before = gate.writeCount
        let tokens = try (0..<80).map { try log.append(sample($0)) }
        try tokens[79].wait()
        #expect(gate.writeCount == before + 10)
        // An append of more records than a group is a group by itself; those before it go first.
        let early = try log.append(sample(80))
        let large = try log.append(contentsOf: (0..<20).map { sample($0) })
        try large.wait()
        #expect(early.isCompleted)
        #expect(gate.writeCount == before + 12)
        #expect(try log.all().count == 101)
    }

    @Test func aGroupThatIsNotFullIsCommittedInTime() throws {
        let disk = LogOnDisk()
        let log = try disk.open {
            $0.groupRecords = 1_000
            $0.groupMicroseconds = 1_000
        }
        for index in 0..<3 { try log.append(sample(index)).wait() }
        #expect(try log.all().count == 3)
    }

    /// While a batch is with the disk, what arrives becomes one batch.
    @Test func whatArrivesDuringAWriteIsOneBatch() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        gate.hold()
        let first = try log.append(sample(0))
        #expect(becomes { gate.isHolding })
        let tokens = try (1...100).map { try log.append(sample($0)) }
        let before = gate.writeCount
        gate.release()
        for token in [first] + tokens { try token.wait() }
        #expect(gate.writeCount == before + 1)
        #expect(log.statistics.recordsWritten == 101)
    }

    @Test func aThreadThatWaitsWritesByItselfWhileTheDiskIsFree() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated(writesForCallers: true)
        for index in 0..<20 { try log.appendAndWait(sample(index)) }
        #expect(gate.hereCount == 20)
        gate.hold()
        onThreads(6) { thread in
            if thread == 5 {
                // One writes; the others wait for it, and then for the loop.
                #expect(becomes { gate.hereCount == 21 && log.statistics.pendingRecords == 5 })
                #expect(log.statistics.durable == log.statistics.next.rewound(records: 5, bytes: 100))
                gate.release()
            } else {
                do { try log.appendAndWait(sample(20 + thread)) } catch { Issue.record(error) }
            }
        }
        #expect(try log.all().count == 25)
        // Segments turn as well: that is the loop's.
        for index in 0..<40 { try log.appendAndWait(sample(index, bytes: 60_000)) }
        #expect(try log.all().count == 65)
    }
}

extension RecordPosition {
    fileprivate func rewound(records: Int, bytes: Int) -> RecordPosition {
        RecordPosition(rawValue: rawValue - UInt64(4 * records + bytes))
    }
}
