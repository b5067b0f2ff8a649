import CommitLog
import LogFormat
import Testing

@testable import LogStore

struct LifeOfLogsTests {
    private func create(_ disk: StoreOnDisk, _ name: String, _ settings: LogSettings) throws -> StoreChange {
        Array(name.utf8).withUnsafeBytes { disk.store.create($0, settings) }
    }

    private func settle(_ disk: StoreOnDisk, _ change: StoreChange) throws -> ChangeTicket {
        guard case .staged(let ticket) = change else { throw NotStaged() }
        disk.settle { disk.store.wal.durable.number >= ticket.batch }
        return ticket
    }

    private func summary(_ disk: StoreOnDisk, _ name: String) throws -> LogSummary {
        disk.store.summary(try #require(disk.slot(name)))
    }

    private static let settings = LogSettings(
        contentType: Array("text/plain".utf8), retention: Retention(ageSeconds: 60, records: 5), appendsPerSecondMax: 9)

    @Test(arguments: [false, true]) func settingsAreKept(behindCheckpoints: Bool) throws {
        let disk = try StoreOnDisk()
        let change = try create(disk, "a", Self.settings)
        #expect(disk.slot("a") == nil)
        _ = try settle(disk, change)
        let other = LogSettings(retention: Retention(bytes: 7))
        _ = try settle(disk, try create(disk, "b", LogSettings()))
        try disk.change("b") { $0.configure($1, other) }
        if behindCheckpoints { try disk.turnSegments() }
        try disk.reopen(cleanly: behindCheckpoints)
        #expect(try summary(disk, "a").settings == Self.settings)
        #expect(try summary(disk, "b").settings == other)
        guard case .unchanged = try create(disk, "a", Self.settings), case .conflict = try create(disk, "a", other)
        else { throw NotStaged() }
    }

    @Test(arguments: [false, true]) func aClosedLogTakesNothingForEver(behindCheckpoints: Bool) throws {
        let disk = try StoreOnDisk()
        try disk.append("a", [1])
        let slot = try #require(disk.slot("a"))
        guard case .staged(let ticket) = disk.store.close(slot) else { throw NotStaged() }
        // Judged by what is sequenced, shown when it is durable.
        let refusal = AppendRefusal(cause: .logClosed(next: RecordOffset(rawValue: 1)), after: ticket.batch)
        #expect(try disk.attempt("a", [2]) == .refused(refusal))
        #expect(try !summary(disk, "a").isClosed)
        disk.settle { disk.store.wal.durable.number >= ticket.batch }
        #expect(try summary(disk, "a").isClosed)
        if behindCheckpoints { try disk.turnSegments() }
        try disk.reopen(cleanly: behindCheckpoints)
        #expect(try summary(disk, "a").isClosed)
        guard case .refused = try disk.attempt("a", [2]) else { throw NotStaged() }
        #expect(try disk.read("a") == [[1]])
    }

    @Test(arguments: [false, true]) func aTrimIsShownWhenItIsDurableAndStays(behindCheckpoints: Bool) throws {
        let disk = try StoreOnDisk()
        for number in UInt8(0)..<10 { try disk.append("a", [number]) }
        let slot = try #require(disk.slot("a"))
        guard case .staged(let ticket) = disk.store.trim(slot, before: RecordOffset(rawValue: 4)) else {
            throw NotStaged()
        }
        #expect(try summary(disk, "a").first == .zero)
        disk.settle { disk.store.wal.durable.number >= ticket.batch }
        #expect(try summary(disk, "a").first.rawValue == 4)
        guard case .unchanged = disk.store.trim(slot, before: RecordOffset(rawValue: 4)),
            case .refused = disk.store.trim(slot, before: RecordOffset(rawValue: 11))
        else { throw NotStaged() }
        if behindCheckpoints { try disk.turnSegments() }
        try disk.reopen(cleanly: behindCheckpoints)
        #expect(try summary(disk, "a").first.rawValue == 4)
        #expect(try summary(disk, "a").bytes == 6)
        #expect(try disk.read("a", from: 4) == (UInt8(4)..<10).map { [$0] })
        #expect(throws: TrimmedRead.self) { try disk.read("a", from: 3) }
    }

    @Test(arguments: [false, true]) func aDeletedNameIsFreeAndItsRecordsAreNeverShownAgain(
        behindCheckpoints: Bool
    ) throws {
        let disk = try StoreOnDisk()
        try disk.append("a", [1])
        try disk.append("a", [2])
        let old = try #require(disk.slot("a"))
        let oldID = disk.store.summary(old).id
        guard case .staged = disk.store.delete(old) else { throw NotStaged() }
        // The new one is sequenced at once, and the old one is shown until its deletion is durable.
        let ticket = try disk.stage("a", [3])
        #expect(ticket.first == .zero)
        #expect(disk.store.summary(try #require(disk.slot("a"))).id == oldID)
        disk.settle { disk.store.wal.durable.number >= ticket.batch }
        #expect(!disk.store.isShown(old))
        #expect(try disk.read("a") == [[3]])
        #expect(try summary(disk, "a").id > oldID)
        if behindCheckpoints { try disk.turnSegments() }
        try disk.reopen(cleanly: behindCheckpoints)
        #expect(try disk.read("a") == [[3]])
        try disk.change("a") { $0.delete($1) }
        #expect(disk.slot("a") == nil)
        try disk.reopen()
        #expect(disk.slot("a") == nil)
        #expect(disk.store.list(prefix: Array("a".utf8), after: nil, limit: 9).logs.isEmpty)
    }

    /// A log is deleted behind the slice of a checkpoint that it was in, and its name is used again before the checkpoint is
    /// whole.
    @Test func aNameUsedAgainWhileACheckpointIsGatheredIsInItOnce() throws {
        let disk = try StoreOnDisk()
        for number in 0..<3 { try disk.append("log-\(number)", [UInt8(number)]) }
        let store = disk.store
        var builder = CheckpointBuilder(
            anchor: store.wal.scanAnchor, knownBelow: store.durableNextID, keys: store.keys.range)
        // The slice takes the old log, then the table goes on without it.
        builder.addSlice(store.table, store.producers, store.keys, durable: store.wal.durable.number)
        try disk.change("log-0") { $0.delete($1) }
        try disk.append("log-0", [9])
        while !builder.isComplete(store.table, store.producers) {
            builder.addSlice(store.table, store.producers, store.keys, durable: store.wal.durable.number)
        }
        let payload = builder.payload(nextID: store.nextID, lastTimestamp: store.lastTimestamp)
        let replay = StoreReplay(directory: "/none", fileSystem: PosixFileSystem())
        try payload.withUnsafeBytes { try replay.restore($0) }
        #expect(replay.table.count == 3)
    }

    @Test func aReadOfADeletedLogEnds() throws {
        let disk = try StoreOnDisk()
        try disk.append("a", [1])
        let read = disk.store.beginRead(try #require(disk.slot("a")), from: .zero)
        try disk.change("a") { $0.delete($1) }
        #expect(disk.store.step(read, into: CollectingSink(limit: 1)) == .gone)
    }

    @Test func slotsOfDeletedLogsAreUsedAgain() throws {
        let disk = try StoreOnDisk()
        try disk.append("kept", [7])
        for round in 0..<4 {
            for number in 0..<20 { try disk.append("log-\(number)", [UInt8(round)]) }
            for number in 0..<20 { try disk.change("log-\(number)") { $0.delete($1) } }
            try disk.turnSegments(1)
        }
        #expect(disk.store.table.count < 60)
        #expect(disk.store.totals.logs == 2)
        #expect(try disk.read("kept") == [[7]])
        try disk.reopen()
        #expect(disk.store.totals.logs == 2)
        #expect(try disk.read("kept") == [[7]])
    }

    // MARK: Groups

    private func group(
        _ disk: StoreOnDisk, _ appends: [(String, UInt8, AppendCondition)], key: String? = nil
    ) throws -> StoreGroupAppend {
        let bytes = appends.map(\.1)
        return try bytes.withUnsafeBytes { buffer in
            let group = try appends.enumerated().map { index, append in
                let body = try RecordBody(
                    UnsafeRawBufferPointer(rebasing: buffer[index...index]), encoding: .whole, recordBytesMax: 10,
                    recordCountMax: 1)
                return GroupAppend(name: Array(append.0.utf8), body: body, condition: append.2)
            }
            let keyBytes = Array((key ?? "").utf8)
            return keyBytes.withUnsafeBytes {
                let identity = key == nil ? RequestIdentity.none : .key($0, fingerprint: BodyFingerprint(buffer))
                return disk.store.append(group: group, identity: identity)
            }
        }
    }

    @Test func aGroupIsTakenWholeOrNotAtAll() throws {
        let disk = try StoreOnDisk()
        try disk.append("a", [0])
        let absent = AppendCondition.absent
        let refused = try group(disk, [("b", 1, .none), ("a", 2, absent), ("c", 3, .none)])
        guard case .refused(let refusal, let index) = refused else { throw NotStaged() }
        #expect(
            index == 1 && refusal.cause == .conditionFailed(next: RecordOffset(rawValue: 1), log: LogID(rawValue: 1)))
        #expect(disk.store.table.count == 1)
        // Each is judged behind those before it.
        let second = AppendCondition.next(RecordOffset(rawValue: 1), log: nil)
        let staged = try group(disk, [("b", 1, absent), ("b", 2, second), ("a", 3, second)])
        guard case .staged(let tickets) = staged else { throw NotStaged() }
        #expect(Set(tickets.map(\.batch)).count == 1)
        #expect(tickets.map(\.first.rawValue) == [0, 1, 1])
        disk.settle { disk.store.wal.durable.number >= tickets[0].batch }
        try disk.reopen()
        #expect(try disk.read("a") == [[0], [3]])
        #expect(try disk.read("b") == [[1], [2]])
    }

    @Test(arguments: [false, true]) func aRepeatOfAGroupGetsAllItsAnswers(behindCheckpoints: Bool) throws {
        let disk = try StoreOnDisk()
        let appends: [(String, UInt8, AppendCondition)] = [("a", 1, .none), ("b", 2, .none), ("a", 3, .none)]
        guard case .staged(let tickets) = try group(disk, appends, key: "k") else { throw NotStaged() }
        #expect(try group(disk, appends, key: "k") == .repeated(tickets))
        disk.settle { disk.store.wal.durable.number >= tickets[0].batch }
        if behindCheckpoints { try disk.turnSegments() }
        try disk.reopen(cleanly: behindCheckpoints)
        guard case .repeated(let again) = try group(disk, appends, key: "k") else { throw NotStaged() }
        #expect(again.map(\.first) == tickets.map(\.first) && again.map(\.timestamp) == tickets.map(\.timestamp))
        guard case .refused(let refusal, nil) = try group(disk, [("a", 9, .none)], key: "k") else { throw NotStaged() }
        #expect(refusal.cause == .keyReused)
        #expect(try disk.read("a") == [[1], [3]])
    }
}
