import CommitLog
import LogFormat
import Testing

@testable import LogStore

/// Retention by bytes, with records of all sizes: what is kept never falls below the limit, and never exceeds it by more than
/// a part.
@Suite struct RetentionBytesTests {
    /// Bytes of a segment: a part is what a log has in one at most.
    private static let segmentBytes = 2 << 20

    /// A log with retention beside one that is trimmed, so that segments are packed and the log's parts are moved.
    private struct Run {
        let disk: StoreOnDisk
        let clock: AdvancedClock
        let limit: Int
        var seed: UInt64
        /// Of the log's records, by offset.
        var sizes: [Int] = []

        init(seed: UInt64) throws {
            clock = AdvancedClock()
            disk = try StoreOnDisk(clock: clock)
            self.seed = seed
            limit = 0
        }

        private init(_ other: Run, limit: Int) {
            (disk, clock, seed) = (other.disk, other.clock, other.seed)
            self.limit = limit
        }

        mutating func begun() throws -> Run {
            let limit = 100_000 + below(3_000_000)
            try disk.make("a", Retention(bytes: UInt64(limit)))
            return Run(self, limit: limit)
        }

        mutating func below(_ end: Int) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((seed >> 33) % UInt64(end))
        }

        /// Mostly small ones; some are a thousand times larger.
        private mutating func size() -> Int {
            switch below(6) {
            case 0: 20_000 + below(100_000)
            case 1...2: 1_000 + below(4_000)
            default: 1 + below(100)
            }
        }

        mutating func append() throws {
            for _ in 0...below(8) {
                let sizes = (0...below(4)).map { _ in size() }
                let lines = sizes.map { [UInt8](repeating: UInt8(ascii: "x"), count: $0) }
                let body = Array(lines.joined(separator: [UInt8(ascii: "\n")]))
                guard case .staged = try disk.attempt("a", body, as: .lines) else { break }
                self.sizes += sizes
            }
            let noise = try disk.stage("noise", uniqueRecord("noise", 0, bytes: 1 + below(150_000)))
            disk.settle { disk.store.wal.durable.number >= noise.batch }
        }

        private func trim(_ log: String, before offset: RecordOffset) throws {
            let slot = try #require(disk.slot(log))
            var ticket: ChangeTicket?
            while ticket == nil, offset > disk.store.table[slot].sequencedFirst {
                if case .staged(let staged) = disk.store.trim(slot, before: offset) { ticket = staged }
                disk.turn()
            }
            disk.settle { ticket.map { disk.store.wal.durable.number >= $0.batch } ?? true }
        }

        func trimNoise() throws { try trim("noise", before: disk.summary("noise").next) }

        /// A client may trim as it likes, also in the middle of a part.
        mutating func trimSome() throws {
            let first = Int(disk.summary("a").first.rawValue)
            try trim("a", before: RecordOffset(rawValue: UInt64(min(sizes.count, first + below(10)))))
        }

        func kept() -> Int { sizes[Int(disk.summary("a").first.rawValue)...].reduce(0, +) }

        /// Removes what retention lets go, packs what may be packed; the limit holds all the time, but for what a client
        /// trimmed itself.
        func check(turns: Int, until isEnough: () -> Bool = { false }) {
            for _ in 0..<turns where !isEnough() {
                let before = disk.summary("a").first.rawValue
                clock.step(seconds: 1)
                disk.turn()
                let summary = disk.summary("a")
                if summary.first.rawValue > before { #expect(kept() >= limit, "first \(summary.first)") }
            }
        }
    }

    @Test(arguments: UInt64(1)...10) func whatIsKeptNeverFallsBelowTheLimit(seed: UInt64) throws {
        var run = try Run(seed: seed)
        run = try run.begun()
        for round in 0..<60 {
            try run.append()
            if run.below(6) == 0 { try run.trimNoise() }
            if run.below(8) == 0 { try run.trimSome() }
            run.check(turns: 2)
            if round == 40 {
                run.check(turns: 20)
                try run.disk.reopen(clock: run.clock)
                run.check(turns: 5)
            }
        }
        let (disk, limit) = (run.disk, run.limit)
        run.check(turns: 3_000) { run.kept() <= limit + Self.segmentBytes }
        #expect(run.kept() <= limit + Self.segmentBytes)
        // Removed as far as it goes, so that nothing is while it is read.
        run.check(turns: 30)
        let slot = try #require(disk.slot("a"))
        disk.settle { disk.store.table[slot].sequencedFirst == disk.store.table[slot].first }
        let first = disk.summary("a").first.rawValue
        #expect(try disk.read("a", from: first).map(\.count) == Array(run.sizes[Int(first)...]))
    }
}

/// The kernel's clocks, both moved on.
private final class AdvancedClock: LogClock {
    private let system = SystemClock()
    private var microseconds: UInt64 = 0

    func step(seconds: UInt64) { microseconds += seconds * 1_000_000 }

    var monotonicMicroseconds: Int64 { system.monotonicMicroseconds + Int64(microseconds) }
    var now: Timestamp { Timestamp(rawValue: system.now.rawValue + microseconds) }
}
