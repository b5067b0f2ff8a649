import CommitLog

@testable import LogStore

/// What one seed makes of a run; drawn once.
struct Workload {
    enum Kind {
        case append, producer, key, condition, group
        /// A request that was sent before.
        case again
        case change(Change)
    }

    enum Change { case create, configure, close, delete, trim }

    let logCount: Int
    /// Bytes of the largest record.
    let recordBytesMax: Int
    let recordsPerRequestMax: Int
    let requestsPerTurnMax: Int
    let generationCount: Int
    let turnsPerGeneration: Int
    let lingerMicroseconds: Int64
    /// One call in so many fails; 0 for none.
    let faultRate: Int
    /// One turn in so many the disk becomes full, or has room again; 0 for never.
    let spaceRate: Int
    /// The run ends with a disk that breaks its promises.
    let endsInDamage: Bool
    /// Requests are all that a client can send, and not plain appends alone.
    var isRich: Bool { !kinds.isEmpty }
    let autoCreate: Bool
    /// What requests are drawn from.
    private let kinds: [Kind]
    /// One producer of one log sends more than answers are kept for.
    let hasBusyProducer: Bool
    /// How much is known of those who append.
    let identities: IdentityLimits
    /// One turn in so many much time has passed; 0 for never.
    let leapRate: Int
    private let machine: Machine
    private let changesMachine: Bool
    private let changesSegmentSize: Bool

    init(_ seed: inout Seed) {
        machine = Self.machine(&seed)
        logCount = seed.pick([1, 2, 5, 20])
        recordBytesMax = seed.pick([40, 600, 6000, 20_000, 60_000])
        recordsPerRequestMax = recordBytesMax > 20_000 ? 1 : seed.pick([1, 1, 3])
        requestsPerTurnMax = seed.pick([1, 4, 12])
        generationCount = 1 + seed.below(4)
        turnsPerGeneration = seed.pick([3, 15, 40, 80])
        lingerMicroseconds = seed.pick([0, 0, 700])
        faultRate = seed.once(in: 4) ? seed.pick([15, 40, 150, 600]) : 0
        spaceRate = seed.once(in: 6) ? seed.pick([5, 20]) : 0
        changesMachine = seed.once(in: 3)
        changesSegmentSize = seed.once(in: 8)
        endsInDamage = seed.once(in: 3)
        kinds = seed.once(in: 3) ? [] : Self.kinds(&seed)
        hasBusyProducer = seed.once(in: 12)
        identities = Self.identities(&seed)
        leapRate = seed.pick([0, 8, 40])
        autoCreate = kinds.isEmpty || !seed.once(in: 6)
    }

    /// Some runs have much of one thing.
    private static func kinds(_ seed: inout Seed) -> [Kind] {
        let all: [(Kind, weight: Int)] = [
            (.append, 30), (.producer, 20), (.key, 10), (.condition, 8), (.group, 8), (.again, 8),
            (.change(.create), 4),
            (.change(.configure), 4), (.change(.close), 1), (.change(.delete), 4), (.change(.trim), 5),
        ]
        let favourite = seed.below(2 * all.count)
        return all.enumerated().flatMap { index, one in
            Array(repeating: one.0, count: index == favourite ? 3 * one.weight + 20 : one.weight)
        }
    }

    func kind(_ seed: inout Seed) -> Kind {
        guard isRich else { return .append }
        return hasBusyProducer && !seed.once(in: 8) ? .producer : seed.pick(kinds)
    }

    /// Few different ones, so that some are equal.
    func settings(_ seed: inout Seed) -> LogSettings {
        var settings = LogSettings()
        if seed.once(in: 2) { settings.contentType = Array("text/plain".utf8) }
        if seed.once(in: 4) { settings.retention.records = seed.pick([3, 30]) }
        if seed.once(in: 4) { settings.retention.bytes = seed.pick([1000, 50_000, 400_000]) }
        if seed.once(in: 6) { settings.retention.ageSeconds = 20 }
        if seed.once(in: 3) { settings.appendsPerSecondMax = 5 }
        return settings
    }

    /// In many runs few keys and producers, for a short time.
    private static func identities(_ seed: inout Seed) -> IdentityLimits {
        var limits = IdentityLimits()
        limits.producerAnswersKept = seed.pick([2, 8, LogStoreLimits.producerAnswersKept])
        limits.keyWindowSeconds = seed.pick([1, 30, LogStoreLimits.keyWindowSecondsDefault])
        limits.keysMax = seed.pick([4, 40, LogStoreLimits.keysDefault])
        limits.producersMax = seed.pick([2, 8, LogStoreLimits.producersDefault])
        return limits
    }

    private static func machine(_ seed: inout Seed) -> Machine {
        Machine(
            mode: seed.pick([.direct, .buffered]), engine: seed.pick([.ioURing, .syscalls]),
            blockBytes: seed.pick([4096, 4096, 8192, 32768, 65536]), segmentBytes: 1 << 20)
    }

    /// The machine of a start: the one of the run, or any.
    func machine(_ seed: inout Seed) -> Machine {
        let machine = changesMachine ? Self.machine(&seed) : machine
        let segmentBytes = changesSegmentSize ? seed.pick([1, 2]) << 20 : machine.segmentBytes
        return Machine(
            mode: machine.mode, engine: machine.engine, blockBytes: machine.blockBytes, segmentBytes: segmentBytes)
    }

    /// The bodies of one request: the records, and the body that carries them.
    func request(_ seed: inout Seed, number: Int) -> [[UInt8]] {
        let count = 1 + seed.below(recordsPerRequestMax)
        return (0..<count).map { index in
            let head = Array("\(number).\(index) ".utf8)
            let fill = UInt8(ascii: "A") + UInt8(truncatingIfNeeded: seed.next() % 58)
            // Slow ways to make an array cost more than all the rest in a debug build.
            var record = [UInt8](repeating: fill, count: max(head.count, seed.below(recordBytesMax)))
            record.withUnsafeMutableBytes { $0.copyBytes(from: head) }
            return record
        }
    }

    /// Calls until the machine dies: soon, later, or not at all.
    func callsUntilDeath(_ seed: inout Seed) -> Int? {
        switch seed.below(4) {
        case 0: seed.below(20)
        case 1: seed.below(150)
        case 2: seed.below(1000)
        default: nil
        }
    }
}
