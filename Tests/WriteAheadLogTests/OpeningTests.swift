import Glibc
import LogStore
import Testing

@testable import CommitLog
@testable import WriteAheadLog

struct OpeningTests {
    @Test func theLogGoesOnBehindItsLastDurableRecord() throws {
        let disk = LogOnDisk()
        var expected: [[UInt8]] = []
        var next = RecordPosition.zero
        for opening in 0..<5 {
            let log = try disk.open { $0.directIO = opening % 2 == 0 ? .auto : .off }
            #expect(log.recovery.isNew == (opening == 0))
            #expect(log.recovery.next == next && log.recovery.first == .zero)
            for index in 0..<30 {
                expected.append(sample(opening * 30 + index, bytes: 11_000))
                _ = try log.append(expected[expected.count - 1])
            }
            try log.flush()
            #expect(try log.all().map(\.bytes) == expected)
            next = log.statistics.next
            try log.shutdown()
        }
    }

    /// A group whose write is torn anywhere is not there at all, and what was acknowledged before it is.
    @Test func aTornGroupIsGoneWhole() throws {
        let disk = LogOnDisk()
        let log = try disk.open { $0.directIO = .off }
        try log.append(sample(0)).wait()
        let used = log.statistics.bytesWritten
        try log.append(contentsOf: (1...40).map { sample($0, bytes: 1_000) }).wait()
        // The seal of the shutdown would prove the group durable: the copy is taken before it.
        let copy = LogOnDisk()
        try copy.take(disk)
        try log.shutdown()
        for tear in [4096, 8192, 36_864] {
            let torn = LogOnDisk()
            try torn.take(copy)
            let path = "\(torn.path)/wal/\(torn.segmentNames.sorted()[0])"
            let descriptor = open(path, O_RDWR)
            let zeros = [UInt8](repeating: 0, count: 4096)
            pwrite(descriptor, zeros, zeros.count, off_t(4096 + used + tear - 4096))
            close(descriptor)
            let again = try torn.open()
            #expect(again.recovery.tornBytes > 0 && !again.recovery.tornBytesSavedTo.isEmpty)
            #expect(try again.all().map(\.bytes) == [sample(0)])
            try again.append(sample(99)).wait()
            #expect(try again.all().map(\.bytes) == [sample(0), sample(99)])
        }
    }

    @Test func everyFieldOutOfItsLimitsIsRefusedByName() {
        let wrong: [(String, (inout WriteAheadLog.Configuration) -> Void)] = [
            ("ringEntries", { $0.ringEntries = 7 }), ("ringEntries", { $0.ringEntries = 4_097 }),
            ("commitLingerMicroseconds", { $0.commitLingerMicroseconds = -1 }),
            ("commitLingerMicroseconds", { $0.commitLingerMicroseconds = 10_000_001 }),
            ("commitRecords", { $0.commitRecords = 0 }), ("groupRecords", { $0.groupRecords = 0 }),
            ("groupMicroseconds", { $0.groupMicroseconds = 0 }),
            ("groupMicroseconds", { $0.groupMicroseconds = 10_000_001 }),
            ("batchBytes", { $0.batchBytes = 16_383 }), ("batchBytes", { $0.batchBytes = (256 << 20) + 1 }),
            ("segmentBytes", { $0.segmentBytes = (1 << 20) + 4096 }), ("segmentBytes", { $0.segmentBytes = 3 << 30 }),
            ("segmentBytes", { $0.batchBytes = 1 << 20 }), ("pendingBytes", { $0.pendingBytes = 0 }),
        ]
        let disk = LogOnDisk()
        for (name, change) in wrong {
            let error = #expect(throws: WriteAheadLogError.self) { _ = try disk.open(change) }
            guard case .configuration(let text) = error else {
                Issue.record("\(name): \(String(describing: error))")
                continue
            }
            #expect(text.hasPrefix(name))
        }
        #expect(disk.segmentNames.isEmpty)
    }

    @Test(arguments: 0..<6)
    func everyLimitIsTaken(number: Int) throws {
        let disk = LogOnDisk()
        let log = try disk.open {
            switch number {
            case 0: $0.ringEntries = 8
            case 1: $0.ringEntries = 4_096
            case 2: $0.batchBytes = 16 << 10
            case 3: $0.commitRecords = 1
            case 4: $0.groupRecords = 1
            default: $0.pendingBytes = 1
            }
        }
        for index in 0..<3 { try log.append(sample(index)).wait() }
        #expect(try log.all().count == 3)
    }

    @Test func theEngineAndTheModeAreThoseAskedFor() throws {
        for (engine, name) in [(WriteAheadLog.Configuration.Engine.syscalls, "syscalls"), (.ioURing, "io_uring")] {
            for (mode, modeName) in [(WriteAheadLog.Configuration.DirectIO.on, "direct"), (.off, "buffered")] {
                let disk = LogOnDisk()
                let log = try disk.open {
                    $0.engine = engine
                    $0.directIO = mode
                }
                try log.appendAndWait(sample(0))
                #expect(log.statistics.engine == name && log.statistics.mode == modeName)
                #expect(!log.statistics.reason.isEmpty)
            }
        }
    }

    @Test func aDirectoryOfTheServiceIsRefusedAndTheOtherWayRound() throws {
        let disk = LogOnDisk()
        try disk.open().shutdown()
        let store = LogStoreConfiguration(wal: CommitLogConfiguration(directory: disk.path))
        let error = #expect(throws: CommitLogError.self) { _ = try LogStore.open(store) }
        guard case .otherContent(_, .singleLog) = error else { throw error! }

        let served = LogOnDisk()
        _ = try LogStore.open(LogStoreConfiguration(wal: CommitLogConfiguration(directory: served.path)))
        #expect(throws: WriteAheadLogError.otherContent(directory: served.path)) { _ = try served.open() }
    }

    @Test func everyErrorSaysWhatHappened() {
        let errors: [WriteAheadLogError] = [
            .configuration("c"), .inUse(directory: "d"), .unsafeFileSystem(directory: "d", kind: "tmpfs"),
            .otherContent(directory: "d"), .unsupported(file: "f", what: "w."), .damaged(file: "f", cause: "c"),
            .file(operation: "open", path: "p", errno: EACCES), .engine("e"), .poisoned("p"), .shutDown, .pendingLimit,
            .tooLarge(bytes: 2, bytesMax: 1), .noSpace("n"), .truncated(first: .zero), .beyondEnd(next: .zero),
        ]
        #expect(Set(errors.map(\.description)).count == errors.count)
    }
}

struct StatisticsTests {
    @Test func theFiguresAgreeAtAnyMomentUnderLoad() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let accepted = Guarded(0)
        let isDone = Guarded(false)
        onThreads(4) { thread in
            do {
                if thread < 3 {
                    for index in 0..<1_500 {
                        _ = try log.append(sample(index, bytes: index % 300))
                        accepted.withLock { $0 += 1 }
                    }
                    if thread == 0 { isDone.withLock { $0 = true } }
                    return
                }
                var last = log.statistics
                while !isDone.withLock({ $0 }) {
                    let before = accepted.withLock { $0 }
                    let now = log.statistics
                    #expect(
                        now.next.rawValue - now.durable.rawValue == UInt64(now.pendingBytes + 4 * now.pendingRecords))
                    #expect(now.durable.rawValue == UInt64(now.recordBytesWritten + 4 * now.recordsWritten))
                    #expect(now.recordsWritten + now.pendingRecords >= before)
                    #expect(now.inFlightRecords <= now.pendingRecords && now.inFlightBytes <= now.pendingBytes)
                    #expect(now.durable >= last.durable && now.next >= last.next && now.batches >= last.batches)
                    #expect(now.bytesWritten >= now.recordBytesWritten && now.first == .zero)
                    last = now
                }
            } catch { Issue.record(error) }
        }
        try log.flush()
        let end = log.statistics
        #expect(end.recordsWritten == 4_500 && end.pendingRecords == 0 && end.durable == end.next)
        #expect(end.syncLatency.p50 > 0 && end.syncLatency.p50 <= end.syncLatency.max && end.poisoned == nil)
    }
}
