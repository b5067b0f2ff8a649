import CommitLog
import LogFormat
import Testing

@testable import LogStore

/// The time of day is what a test says; it stands still else.
private final class SetClock: LogClock {
    private let system = SystemClock()
    var now = Timestamp(rawValue: 1_700_000_000_000_000)

    var monotonicMicroseconds: Int64 { system.monotonicMicroseconds }

    func step(seconds: UInt64) { now = Timestamp(rawValue: now.rawValue + seconds * 1_000_000) }
    func step(days: UInt64) { step(seconds: days * 86_400) }
}

private func cause(_ outcome: StoreAppend) -> AppendRefusal.Cause? {
    guard case .refused(let refusal) = outcome else { return nil }
    return refusal.cause
}

private func isRepeat(_ outcome: StoreAppend, of ticket: AppendTicket) -> Bool {
    guard case .repeated(let again) = outcome else { return false }
    return again.first == ticket.first && again.count == ticket.count && again.timestamp == ticket.timestamp
}

/// How many identities are known, and for how long; also across starts.
@Suite struct IdentityBoundsTests {
    /// What comes between two requests, or behind them.
    enum Restart: CaseIterable {
        case none
        case kill
        case checkpoint
        case checkpointAndKill
    }

    private func restart(_ disk: StoreOnDisk, _ how: Restart, _ clock: SetClock) throws {
        if how == .checkpoint || how == .checkpointAndKill { try disk.turnSegments() }
        if how == .kill || how == .checkpointAndKill { try disk.reopen(clock: clock) }
    }

    private func limits(keys: Int = 100, windowSeconds: Int = 10, producers: Int = 100) -> IdentityLimits {
        var limits = IdentityLimits()
        limits.keysMax = keys
        limits.keyWindowSeconds = windowSeconds
        limits.producersMax = producers
        return limits
    }

    // MARK: Time

    @Test func aKeyIsKnownToTheLastMicrosecondOfItsWindowAndNoLonger() throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits())
        let ticket = try disk.send("a", [1], key: "k")
        clock.now = Timestamp(rawValue: ticket.timestamp.rawValue + 10_000_000)
        #expect(isRepeat(try disk.attempt("a", [1], key: "k"), of: ticket))
        clock.now = clock.now.next
        #expect(try disk.send("a", [1], key: "k").first.rawValue == 1)
    }

    /// What the write-ahead log, or a checkpoint, says of the first use is over when it says the second.
    @Test(arguments: Restart.allCases, Restart.allCases)
    func aKeyThatIsUsedAgainAfterItsTimeStandsForTheNewRequest(between: Restart, behind: Restart) throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits())
        try disk.send("a", [1], key: "k")
        try restart(disk, between, clock)
        clock.step(seconds: 11)
        let ticket = try disk.send("a", [2], key: "k")
        try restart(disk, behind, clock)
        #expect(isRepeat(try disk.attempt("a", [2], key: "k"), of: ticket))
        #expect(cause(try disk.attempt("a", [1], key: "k")) == .keyReused)
        disk.turn()
        #expect(isRepeat(try disk.attempt("a", [2], key: "k"), of: ticket))
        #expect(try disk.read("a") == [[1], [2]])
        clock.step(seconds: 11)
        disk.turn()
        #expect(disk.store.keys.count == 0 && disk.store.keys.byteCount == 0)
    }

    @Test(arguments: Restart.allCases, Restart.allCases)
    func aProducerThatWasForgottenAndBeginsAgainIsANewOne(between: Restart, behind: Restart) throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock)
        try disk.send("a", [1], producer: "p", epoch: 4, sequence: 0)
        try disk.send("a", [2], producer: "p", epoch: 4, sequence: 1)
        try restart(disk, between, clock)
        clock.step(days: 8)
        disk.turn()
        #expect(disk.store.producers.count == 0)
        let tickets = try (0..<2).map { try disk.send("a", [3], producer: "p", epoch: 4, sequence: UInt64($0)) }
        try restart(disk, behind, clock)
        disk.turn()
        for (sequence, ticket) in tickets.enumerated() {
            let again = try disk.attempt("a", [3], producer: "p", epoch: 4, sequence: UInt64(sequence))
            #expect(isRepeat(again, of: ticket))
        }
        #expect(try disk.send("a", [5], producer: "p", epoch: 4, sequence: 2).first.rawValue == 4)
        #expect(try disk.read("a") == [[1], [2], [3], [3], [5]])
    }

    /// A disk that stands still for longer than a window.
    @Test func aKeyInFlightIsNotForgotten() throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits())
        guard case .staged(let ticket) = try disk.attempt("a", [1], key: "k") else { throw NotStaged() }
        clock.step(seconds: 60)
        #expect(try disk.attempt("a", [1], key: "k") == .repeated(ticket))
        disk.settle { disk.store.wal.durable.number >= ticket.batch }
        clock.step(seconds: 60)
        #expect(try disk.send("a", [1], key: "k").first.rawValue == 1)
    }

    // MARK: Numbers

    @Test(arguments: Restart.allCases) func noKeyIsForgottenToMakeRoom(restart how: Restart) throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits(keys: 3))
        var tickets: [AppendTicket] = []
        for number in 0..<3 {
            tickets.append(try disk.send("a", [UInt8(number)], key: "k\(number)"))
            clock.step(seconds: 2)
        }
        try restart(disk, how, clock)
        #expect(cause(try disk.attempt("a", [9], key: "k3")) == .keysFull(retryAfterSeconds: 5))
        for (number, ticket) in tickets.enumerated() {
            #expect(isRepeat(try disk.attempt("a", [UInt8(number)], key: "k\(number)"), of: ticket))
        }
        // Those who need none go on.
        try disk.send("a", [3])
        try disk.send("a", [4], producer: "p")
        // The oldest one makes room for one, without a turn of the loop.
        clock.step(seconds: 5)
        #expect(try disk.send("a", [5], key: "k3").first.rawValue == 5)
        #expect(cause(try disk.attempt("a", [9], key: "k4")) == .keysFull(retryAfterSeconds: 2))
        #expect(cause(try disk.attempt("a", [9], key: "k0")) == .keysFull(retryAfterSeconds: 2))
        for number in 1..<3 {
            #expect(isRepeat(try disk.attempt("a", [UInt8(number)], key: "k\(number)"), of: tickets[number]))
        }
    }

    /// The one that was idle for longest goes first, and none before its time.
    @Test(arguments: Restart.allCases) func onlyAProducerThatIsIdleForAWeekMakesRoom(restart how: Restart) throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits(producers: 2))
        try disk.send("a", [0], producer: "p")
        clock.step(days: 3)
        try disk.send("a", [1], producer: "q")
        clock.step(days: 2)
        let last = try disk.send("a", [2], producer: "p", sequence: 1)
        try restart(disk, how, clock)
        #expect(cause(try disk.attempt("a", [9], producer: "r")) == .producersFull)
        #expect(cause(try disk.attempt("b", [9], producer: "p")) == .producersFull)
        clock.step(days: 5)
        clock.step(seconds: 60)
        try disk.send("a", [3], producer: "r")
        #expect(cause(try disk.attempt("a", [9], producer: "s")) == .producersFull)
        #expect(isRepeat(try disk.attempt("a", [9], producer: "p", sequence: 1), of: last))
        #expect(
            cause(try disk.attempt("a", [9], producer: "q", sequence: 1)) == .sequenceGap(expected: 0, received: 1))
        #expect(cause(try disk.attempt("a", [9], producer: "q")) == .producersFull)
    }

    /// What was promised under larger limits is kept.
    /// A producer of a log that is gone takes no place from others, also where only a checkpoint knows it.
    @Test(arguments: Restart.allCases) func theProducersOfADeletedLogMakeRoom(restart how: Restart) throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits(producers: 2))
        try disk.send("gone", [1], producer: "p")
        let kept = try disk.send("b", [1], producer: "p")
        #expect(cause(try disk.attempt("b", [2], producer: "q")) == .producersFull)
        try disk.change("gone") { $0.delete($1) }
        try restart(disk, how, clock)
        disk.settle { disk.store.producers.count == 1 }
        try disk.send("b", [2], producer: "q")
        #expect(isRepeat(try disk.attempt("b", [1], producer: "p"), of: kept))
        // Its place was another's meanwhile: the time of the first one in it counts no more.
        clock.step(days: 6)
        try disk.send("b", [3], producer: "q", sequence: 1)
        clock.step(days: 2)
        disk.settle { disk.store.producers.count == 1 }
        #expect(cause(try disk.attempt("b", [4], producer: "q", sequence: 3)) == .sequenceGap(expected: 2, received: 3))
    }

    @Test func lowerLimitsForgetNothing() throws {
        let clock = SetClock()
        let disk = try StoreOnDisk(clock: clock, identities: limits())
        let tickets = try (0..<3).map { try disk.send("a", [UInt8($0)], key: "k\($0)") }
        for name in ["p", "q"] { try disk.send("a", [7], producer: name) }
        disk.identities = limits(keys: 1, producers: 1)
        try disk.reopen(clock: clock)
        for (number, ticket) in tickets.enumerated() {
            #expect(isRepeat(try disk.attempt("a", [UInt8(number)], key: "k\(number)"), of: ticket))
        }
        guard case .keysFull = cause(try disk.attempt("a", [9], key: "k3")) else { throw NotStaged() }
        for name in ["p", "q"] { try disk.send("a", [8], producer: name, sequence: 1) }
        #expect(cause(try disk.attempt("a", [9], producer: "r")) == .producersFull)
    }
}

/// What a checkpoint says of who appended: what is durable, and no more.
@Suite struct CheckpointedIdentityTests {
    /// A start that believed it would answer a repeat of what was lost.
    @Test func noIdentityInFlightReachesACheckpoint() throws {
        let disk = try StoreOnDisk()
        try disk.send("a", [1], key: "durable")
        try disk.send("a", [2], producer: "durable")
        _ = try disk.attempt("a", [3], key: "in flight")
        _ = try disk.attempt("a", [4], producer: "in flight")
        _ = try disk.attempt("a", [5], producer: "durable", sequence: 1)
        let payload = disk.store.checkpointOfNow()
        let replay = StoreReplay(directory: "/none", fileSystem: PosixFileSystem())
        try payload.withUnsafeBytes { try replay.restore($0) }
        #expect(replay.keys.count == 1 && replay.producers.count == 1)
        let log = LogID(rawValue: 1)
        Array("durable".utf8).withUnsafeBytes { name in
            #expect(replay.keys.entry(of: name, in: log) != nil)
            let next = replay.producers.verdict(
                on: ProducerField(id: name, epoch: 0, sequence: 1), in: log, lastBatch: .zero, durable: .zero)
            guard case .new = next else {
                Issue.record("a request in flight is known: \(next)")
                return
            }
        }
    }
}
