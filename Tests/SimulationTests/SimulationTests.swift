import Glibc
import Synchronization
import Testing

/// Seeds of the simulator. `make simulate SEEDS=1 FIRST=7` runs just seed 7; a failing seed prints this line.
struct SimulationTests {
    /// Seeds of a plain `swift test`.
    private static let seedCountDefault = 2000
    /// Parts that run beside each other.
    private static let partCount = 4
    /// A mutex, as the minimum of an atomic number compares with signs here.
    private static let firstFailure = Mutex(UInt64.max)
    /// Over all parts that have ended.
    private static let total = Mutex((tally: Tally(), partCount: 0))
    private static var firstFailed: UInt64 { firstFailure.withLock { $0 } }

    @Test(arguments: 0..<partCount) func everyAcknowledgedRecordOutlivesEveryCrash(part: Int) {
        let first = simulationSetting("SIMULATE_FIRST") ?? 1
        let count = simulationSetting("SIMULATE_SEEDS") ?? UInt64(Self.seedCountDefault)
        var tally = Tally()
        let seeds = stride(from: first + UInt64(part), to: first + count, by: Self.partCount)
        // The first seed that fails is found whatever runs beside it.
        for seed in seeds where seed < Self.firstFailed {
            TrapNotice.arm(seed: seed)
            let simulation = Simulation(seed: seed)
            do {
                try simulation.run()
                tally += simulation.tally
            } catch {
                Self.firstFailure.withLock { $0 = min($0, seed) }
                Issue.record("seed \(seed): \(error)\n  again: make simulate SEEDS=1 FIRST=\(seed)")
                break
            }
        }
        TrapNotice.disarm()
        print("simulation, part \(part) from seed \(first): \(tally)")
        let total = Self.total.withLock { total in
            total.partCount += 1
            total.tally += tally
            return total
        }
        // What never happens in so many seeds is not tested by them.
        if count >= 1000 && total.partCount == Self.partCount && Self.firstFailed == .max {
            for event in Tally.Event.allCases { #expect(total.tally[event] > 0, "\(event)") }
        }
    }

    /// What a failing seed prints makes the same run again.
    @Test func aSeedGivesTheSameRunAgain() throws {
        for seed in UInt64(1)...20 {
            let runs = try (0..<2).map { _ in
                let simulation = Simulation(seed: seed)
                try simulation.run()
                return simulation
            }
            #expect(runs[0].tally == runs[1].tally, "seed \(seed)")
            #expect(runs[0].disk.callCount == runs[1].disk.callCount, "seed \(seed)")
            #expect(runs[0].disk.fingerprints() == runs[1].disk.fingerprints(), "seed \(seed)")
        }
    }
}

/// A number in the environment.
func simulationSetting(_ name: String) -> UInt64? {
    guard let text = getenv(name) else { return nil }
    return UInt64(String(cString: text))
}

/// Says which seed was running when the process trapped: a failed precondition is a finding too.
enum TrapNotice {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key, nil)
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS] { signal(number, report) }
        return key
    }()

    static func arm(seed: UInt64) { pthread_setspecific(key, UnsafeRawPointer(bitPattern: UInt(seed))) }
    static func disarm() { pthread_setspecific(key, nil) }

    private static let report: @convention(c) (Int32) -> Void = { number in
        signal(number, SIG_DFL)
        let seed = UInt(bitPattern: pthread_getspecific(key))
        if seed > 0 {
            // The process is lost already; a string is no worse.
            let line = "seed \(seed) trapped\n  again: make simulate SEEDS=1 FIRST=\(seed)\n"
            _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        }
        raise(number)
    }
}
