import Testing

/// Seeds of the simulator of the library's stream. `make simulate SEEDS=1 FIRST=7` runs just seed 7.
struct StreamSimulationTests {
    private static let seedCountDefault: UInt64 = 400

    @Test func everyAcknowledgedRecordOfAStreamOutlivesEveryCrash() {
        let first = simulationSetting("SIMULATE_FIRST") ?? 1
        let count = simulationSetting("SIMULATE_SEEDS") ?? Self.seedCountDefault
        var total: [StreamSimulation.Event: Int] = [:]
        for seed in first..<first + count {
            TrapNotice.arm(seed: seed)
            let simulation = StreamSimulation(seed: seed)
            do { try simulation.run() } catch {
                Issue.record("seed \(seed): \(error)\n  again: make simulate SEEDS=1 FIRST=\(seed)")
                break
            }
            total.merge(simulation.tally, uniquingKeysWith: +)
        }
        TrapNotice.disarm()
        let text = StreamSimulation.Event.allCases.map { "\($0.rawValue) \(total[$0] ?? 0)" }.joined(separator: ", ")
        print("simulation of the stream, from seed \(first): \(text)")
        if count >= Self.seedCountDefault {
            for event in StreamSimulation.Event.allCases { #expect(total[event] ?? 0 > 0, "\(event)") }
        }
    }

    @Test func aSeedOfTheStreamGivesTheSameRunAgain() throws {
        for seed in UInt64(1)...10 {
            let runs = try (0..<2).map { _ in
                let simulation = StreamSimulation(seed: seed)
                try simulation.run()
                return simulation
            }
            #expect(runs[0].tally == runs[1].tally && runs[0].fingerprints == runs[1].fingerprints, "seed \(seed)")
        }
    }
}
