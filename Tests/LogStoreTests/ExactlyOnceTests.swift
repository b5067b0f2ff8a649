import CommitLog
import LogFormat
import Testing

@testable import LogStore

extension StoreOnDisk {
    /// Stages a record with a condition and an identity, without waiting.
    func attempt(
        _ log: String, _ record: [UInt8], producer: String? = nil, epoch: UInt64 = 0, sequence: UInt64 = 0,
        key: String? = nil, condition: AppendCondition = .none
    ) throws -> StoreAppend {
        try record.withUnsafeBytes { bytes in
            let body = try RecordBody(bytes, encoding: .whole, recordBytesMax: 1 << 20, recordCountMax: 1)
            let id = Array((producer ?? key ?? "").utf8)
            return id.withUnsafeBytes { id in
                var options = AppendOptions()
                options.condition = condition
                if producer != nil { options.identity = .producer(id: id, epoch: epoch, sequence: sequence) }
                if key != nil { options.identity = .key(id, fingerprint: BodyFingerprint(bytes)) }
                return Array(log.utf8).withUnsafeBytes { store.append(to: $0, body, options) }
            }
        }
    }

    /// As the other one, and waits until it is durable.
    @discardableResult
    func send(
        _ log: String, _ record: [UInt8], producer: String? = nil, epoch: UInt64 = 0, sequence: UInt64 = 0,
        key: String? = nil
    ) throws -> AppendTicket {
        let outcome = try attempt(log, record, producer: producer, epoch: epoch, sequence: sequence, key: key)
        guard case .staged(let ticket) = outcome else { throw Refused(outcome: outcome) }
        settle { store.wal.durable.number >= ticket.batch }
        return ticket
    }

    func change(_ log: String, _ body: (LogStore, LogSlot) -> StoreChange) throws {
        let slot = try #require(self.slot(log))
        guard case .staged(let ticket) = body(store, slot) else { throw NotStaged() }
        settle { store.wal.durable.number >= ticket.batch }
    }

    /// Turns segments and waits until checkpoints have been written behind them.
    func turnSegments(_ count: Int = 2) throws {
        for _ in 0..<count {
            let segments = store.wal.segments.count
            while store.wal.segments.count == segments { try append("filler", [UInt8](repeating: 7, count: 200_000)) }
        }
        settle { store.checkpoint == nil && !store.checkpoints.isWanted }
        try append("filler", [1])
    }
}

struct NotStaged: Error {}

private func cause(_ outcome: StoreAppend) -> AppendRefusal.Cause? {
    guard case .refused(let refusal) = outcome else { return nil }
    return refusal.cause
}

/// The first answer again, whatever became of the batch number in between.
private func isRepeat(_ outcome: StoreAppend, of ticket: AppendTicket) -> Bool {
    guard case .repeated(let again) = outcome else { return false }
    return again.first == ticket.first && again.count == ticket.count && again.timestamp == ticket.timestamp
}

struct ExactlyOnceTests {
    enum Restart: CaseIterable {
        case none
        case kill
        case killBehindCheckpoints
    }

    private func restart(_ disk: StoreOnDisk, _ how: Restart) throws {
        switch how {
        case .none: return
        case .kill: try disk.reopen()
        case .killBehindCheckpoints:
            try disk.turnSegments()
            try disk.reopen(cleanly: true)
            #expect(disk.store.wal.recovery.checkpoint != nil)
        }
    }

    @Test(arguments: Restart.allCases) func aRepeatOfAProducerGetsTheFirstAnswer(restart how: Restart) throws {
        let disk = try StoreOnDisk()
        let tickets = try (0..<3).map { try disk.send("a", [UInt8($0)], producer: "p", sequence: UInt64($0)) }
        try restart(disk, how)
        for (sequence, ticket) in tickets.enumerated() {
            let again = try disk.attempt("a", [9], producer: "p", sequence: UInt64(sequence))
            #expect(isRepeat(again, of: ticket))
        }
        #expect(try disk.read("a") == [[0], [1], [2]])
        #expect(
            cause(try disk.attempt("a", [9], producer: "p", sequence: 4))
                == .sequenceGap(expected: 3, received: 4))
        #expect(try disk.send("a", [3], producer: "p", sequence: 3).first.rawValue == 3)
    }

    @Test(arguments: Restart.allCases) func anOldEpochIsFencedAndANewOneBeginsAtZero(restart how: Restart) throws {
        let disk = try StoreOnDisk()
        try disk.send("a", [0], producer: "p", epoch: 3, sequence: 0)
        try disk.send("a", [1], producer: "p", epoch: 5, sequence: 0)
        try restart(disk, how)
        #expect(cause(try disk.attempt("a", [9], producer: "p", epoch: 3, sequence: 1)) == .fenced(epoch: 5))
        #expect(cause(try disk.attempt("a", [9], producer: "p", epoch: 3, sequence: 0)) == .fenced(epoch: 5))
        #expect(
            cause(try disk.attempt("a", [9], producer: "p", epoch: 6, sequence: 1))
                == .sequenceGap(expected: 0, received: 1))
        #expect(
            cause(try disk.attempt("b", [9], producer: "p", epoch: 5, sequence: 1))
                == .sequenceGap(expected: 0, received: 1))
        #expect(try disk.read("a") == [[0], [1]])
    }

    @Test func anAnswerOlderThanTheLast64IsForgotten() throws {
        let disk = try StoreOnDisk()
        let tickets = try (0..<66).map { try disk.send("a", [UInt8($0)], producer: "p", sequence: UInt64($0)) }
        #expect(cause(try disk.attempt("a", [9], producer: "p", sequence: 1)) == .duplicateForgotten)
        #expect(isRepeat(try disk.attempt("a", [9], producer: "p", sequence: 2), of: tickets[2]))
    }

    @Test func aRepeatOfWhatIsInFlightWaitsForIt() throws {
        let disk = try StoreOnDisk()
        guard case .staged(let ticket) = try disk.attempt("a", [1], producer: "p") else { throw NotStaged() }
        guard case .staged(let keyed) = try disk.attempt("a", [2], key: "k") else { throw NotStaged() }
        #expect(try disk.attempt("a", [1], producer: "p") == .repeated(ticket))
        #expect(try disk.attempt("a", [2], key: "k") == .repeated(keyed))
        #expect(ticket.batch > disk.store.wal.durable.number)
    }

    @Test func whatWasLostInACrashIsTakenOnce() throws {
        let disk = try StoreOnDisk()
        try disk.send("a", [0], producer: "p", sequence: 0)
        _ = try disk.attempt("a", [1], producer: "p", sequence: 1)
        _ = try disk.attempt("a", [2], key: "k")
        try disk.reopen()
        #expect(try disk.send("a", [1], producer: "p", sequence: 1).first.rawValue == 1)
        #expect(try disk.send("a", [2], key: "k").first.rawValue == 2)
    }

    /// More requests in flight than answers are kept, while a checkpoint is gathered, and then lost.
    @Test func aCheckpointHasTheDurableAnswersOfAProducerWithManyRequestsInFlight() throws {
        let disk = try StoreOnDisk()
        let ticket = try disk.send("a", [0], producer: "p", sequence: 0)
        for sequence in UInt64(1)...200 { _ = try disk.attempt("a", [1], producer: "p", sequence: sequence) }
        let payload = disk.store.checkpointOfNow()
        let replay = StoreReplay(directory: "/none", fileSystem: PosixFileSystem())
        try payload.withUnsafeBytes { try replay.restore($0) }
        let verdict = Array("p".utf8).withUnsafeBytes {
            replay.producers.verdict(
                on: ProducerField(id: $0, epoch: 0, sequence: 0), in: LogID(rawValue: 1), lastBatch: .zero,
                durable: .zero)
        }
        guard case .repeated(let answer) = verdict else { throw NotStaged() }
        #expect(answer.first == ticket.first)
        let next = Array("p".utf8).withUnsafeBytes {
            replay.producers.verdict(
                on: ProducerField(id: $0, epoch: 0, sequence: 1), in: LogID(rawValue: 1), lastBatch: .zero,
                durable: .zero)
        }
        guard case .new = next else { throw NotStaged() }
    }

    @Test(arguments: Restart.allCases) func aKeyGetsTheFirstAnswerAndNoOtherBody(restart how: Restart) throws {
        let disk = try StoreOnDisk()
        let ticket = try disk.send("a", [1], key: "k")
        try restart(disk, how)
        #expect(isRepeat(try disk.attempt("a", [1], key: "k"), of: ticket))
        #expect(cause(try disk.attempt("a", [2], key: "k")) == .keyReused)
        #expect(try disk.send("b", [2], key: "k").first.rawValue == 0)
        #expect(try disk.read("a") == [[1]])
    }

    @Test func keysGoWithTheirTimeAndNotBefore() {
        var limits = IdentityLimits()
        limits.keysMax = 2
        limits.keyWindowSeconds = 10
        var keys = IdempotencyKeys(limits)
        let answer = { (second: UInt64) in
            RequestAnswer(
                AppendTicket(batch: .zero, first: .zero, count: 1, timestamp: Timestamp(rawValue: second * 1_000_000)))
        }
        let note = { (keys: inout IdempotencyKeys, key: String, second: UInt64) in
            Array(key.utf8).withUnsafeBytes {
                keys.note($0, in: LogID(rawValue: 1), BodyFingerprint(low: 1, high: 2), [answer(second)])
            }
        }
        let now = { (second: UInt64) in Timestamp(rawValue: second * 1_000_000) }
        note(&keys, "a", 1)
        #expect(keys.refusal(now: now(2)) == nil)
        note(&keys, "b", 5)
        #expect(keys.refusal(now: now(6))?.cause == .keysFull(retryAfterSeconds: 6))
        keys.expire(now: now(11), durable: .zero)
        #expect(keys.count == 2)
        keys.expire(now: now(12), durable: .zero)
        #expect(keys.count == 1 && keys.refusal(now: now(12)) == nil)
        Array("a".utf8).withUnsafeBytes { #expect(keys.entry(of: $0, in: LogID(rawValue: 1)) == nil) }
        Array("b".utf8).withUnsafeBytes { #expect(keys.entry(of: $0, in: LogID(rawValue: 1)) != nil) }
    }

    @Test func aKeyThatIsReplayedBehindLaterOnesGoesWithItsTime() {
        var limits = IdentityLimits()
        limits.keyWindowSeconds = 10
        var keys = IdempotencyKeys(limits)
        let log = LogID(rawValue: 1)
        for (key, second) in [("checkpoint", UInt64(20)), ("replayed", 1), ("again", 2), ("again", 21)] {
            let ticket = AppendTicket(
                batch: .zero, first: .zero, count: 1, timestamp: Timestamp(rawValue: second * 1_000_000))
            Array(key.utf8).withUnsafeBytes {
                keys.note($0, in: log, BodyFingerprint(low: second, high: 2), [RequestAnswer(ticket)])
            }
        }
        keys.putInOrder { _ in true }
        #expect(keys.count == 3)
        keys.expire(now: Timestamp(rawValue: 22_000_000), durable: .zero)
        #expect(keys.count == 2)
        Array("replayed".utf8).withUnsafeBytes { #expect(keys.entry(of: $0, in: log) == nil) }
        Array("again".utf8).withUnsafeBytes { #expect(keys.entry(of: $0, in: log)?.fingerprint.low == 21) }
    }

    @Test func aFullTableEmptiesThoughNothingIsAppended() throws {
        let clock = SteppedClock()
        let disk = try StoreOnDisk(clock: clock)
        try disk.send("a", [1], key: "k")
        try disk.send("a", [1], producer: "p")
        clock.step(days: 8)
        disk.turn()
        #expect(disk.store.keys.count == 0)
        #expect(disk.store.producers.count == 0)
    }

    /// A start replays both: what was forgotten, and what began again behind it.
    @Test(arguments: Restart.allCases) func whatBeganAgainWhenItWasForgottenIsKnown(restart how: Restart) throws {
        let clock = SteppedClock()
        let disk = try StoreOnDisk(clock: clock)
        try disk.send("a", [1], key: "k")
        for sequence in UInt64(0)...2 { try disk.send("a", [1], producer: "p", epoch: 4, sequence: sequence) }
        clock.step(days: 8)
        disk.turn()
        let byKey = try disk.send("a", [2], key: "k")
        let byProducer = try disk.send("a", [2], producer: "p", epoch: 4, sequence: 0)
        try restart(disk, how)
        disk.turn()
        #expect(isRepeat(try disk.attempt("a", [2], key: "k"), of: byKey))
        #expect(isRepeat(try disk.attempt("a", [2], producer: "p", epoch: 4, sequence: 0), of: byProducer))
        let next = try disk.send("a", [3], producer: "p", epoch: 4, sequence: 1)
        #expect(next.first == byProducer.first + 1)
        #expect(disk.store.keys.count == 1 && disk.store.producers.count == 1)
    }

    @Test func newProducersAreRefusedWhereThereIsNoRoom() {
        var limits = IdentityLimits()
        limits.producersMax = 1
        var producers = Producers(limits)
        let log = LogID(rawValue: 1)
        let answer = RequestAnswer(AppendTicket(batch: .zero, first: .zero, count: 1, timestamp: .zero))
        Array("p".utf8).withUnsafeBytes {
            producers.note(ProducerField(id: $0, epoch: 0, sequence: 0), in: log, answer, durable: .zero)
            guard
                case .new = producers.verdict(
                    on: ProducerField(id: $0, epoch: 1, sequence: 0), in: log, lastBatch: .zero, durable: .zero)
            else {
                Issue.record("a known producer is refused")
                return
            }
        }
        Array("q".utf8).withUnsafeBytes {
            guard
                case .refused(let refusal) = producers.verdict(
                    on: ProducerField(id: $0, epoch: 0, sequence: 0), in: log, lastBatch: .zero, durable: .zero)
            else {
                Issue.record("one too many is taken")
                return
            }
            #expect(refusal.cause == .producersFull)
        }
    }

    // MARK: Conditions

    @Test func anAppendUnderAConditionIsJudgedByWhatIsSequenced() throws {
        let disk = try StoreOnDisk()
        let next = { (offset: UInt64) in AppendCondition.next(RecordOffset(rawValue: offset), log: nil) }
        #expect(cause(try disk.attempt("a", [1], condition: next(1))) == .conditionFailed(next: .zero, log: nil))
        guard case .staged(let ticket) = try disk.attempt("a", [1], condition: .absent) else { throw NotStaged() }
        let refused = try disk.attempt("a", [1], condition: .absent)
        let log = LogID(rawValue: 1)
        let conflict = AppendRefusal.Cause.conditionFailed(next: RecordOffset(rawValue: 1), log: log)
        // It rests on what is in flight.
        #expect(refused == .refused(AppendRefusal(cause: conflict, after: ticket.batch)))
        guard case .staged = try disk.attempt("a", [2], condition: next(1)) else { throw NotStaged() }
        #expect(
            cause(try disk.attempt("a", [1], condition: .next(RecordOffset(rawValue: 2), log: LogID(rawValue: 9))))
                == .conditionFailed(next: RecordOffset(rawValue: 2), log: log))
        guard case .staged = try disk.attempt("a", [3], condition: .next(RecordOffset(rawValue: 2), log: log)) else {
            throw NotStaged()
        }
    }

    @Test func aRetryOfASuccessIsASuccessWhateverTheConditionSaysNow() throws {
        let disk = try StoreOnDisk()
        guard case .staged(let ticket) = try disk.attempt("a", [1], producer: "p", condition: .absent) else {
            throw NotStaged()
        }
        disk.settle { disk.store.wal.durable.number >= ticket.batch }
        #expect(isRepeat(try disk.attempt("a", [1], producer: "p", condition: .absent), of: ticket))
        try disk.change("a") { $0.close($1) }
        #expect(isRepeat(try disk.attempt("a", [1], producer: "p", condition: .absent), of: ticket))
        #expect(
            cause(try disk.attempt("a", [1], producer: "p", sequence: 1))
                == .logClosed(next: RecordOffset(rawValue: 1)))
    }
}

extension LogStore {
    /// What a checkpoint begun and finished now would hold.
    func checkpointOfNow() -> [UInt8] {
        var builder = CheckpointBuilder(anchor: wal.scanAnchor, knownBelow: durableNextID, keys: keys.range)
        while !builder.isComplete(table, producers) {
            builder.addSlice(table, producers, keys, durable: wal.durable.number)
        }
        return builder.payload(nextID: nextID, lastTimestamp: lastTimestamp)
    }
}

/// The kernel's clocks, moved on by days.
final class SteppedClock: LogClock {
    private let system = SystemClock()
    private var microseconds: UInt64 = 0

    func step(days: UInt64) { microseconds += days * 86_400 * 1_000_000 }

    var monotonicMicroseconds: Int64 { system.monotonicMicroseconds }
    var now: Timestamp { Timestamp(rawValue: system.now.rawValue + microseconds) }
}

/// The largest request must fit a batch whatever it says beside its records, or it would wait for room for ever.
@Test func theLimitsOfFieldsHoldTheLargestOnes() {
    let longest = [UInt8](repeating: UInt8(ascii: "x"), count: 128)
    longest.withUnsafeBytes { bytes in
        for identity in [
            RequestIdentity.producer(id: bytes, epoch: 1, sequence: 1),
            .key(bytes, fingerprint: BodyFingerprint(bytes)),
        ] {
            var fields = FieldWriter()
            GroupField(id: 1, index: 0, count: 1).write(to: &fields)
            identity.write(to: &fields)
            #expect(fields.bytes.count <= LogStoreLimits.appendFieldsBytesMax)
        }
        var fields = FieldWriter()
        fields.append(.logName, bytes)
        LogSettings(contentType: longest + longest.dropLast(), retention: Retention(bytes: 1)).write(to: &fields)
        #expect(fields.bytes.count <= LogStoreLimits.creationFieldsBytesMax)
    }
}
