import LogFormat
import Testing

@testable import CommitLog

struct RecentBatchesTests {
    /// A list of what is there, by the definition: the newest batches that lie in the ring without overlapping.
    private struct Model {
        let capacityBytes: Int
        var entries: [(position: Position, offset: Int, bytes: [UInt8])] = []
        var cursor = 0

        mutating func insert(_ bytes: [UInt8], at position: Position) {
            if bytes.count > capacityBytes {
                entries = []
                cursor = 0
                return
            }
            if cursor + bytes.count > capacityBytes {
                entries.removeAll { $0.offset >= cursor }
                cursor = 0
            }
            let taken = cursor..<cursor + bytes.count
            entries.removeAll { taken.overlaps($0.offset..<$0.offset + $0.bytes.count) }
            entries.append((position, cursor, bytes))
            cursor += bytes.count
        }

        func batch(containing position: Position) -> (start: Position, bytes: [UInt8])? {
            entries.first { $0.position <= position && position < $0.position + $0.bytes.count }
                .map { ($0.position, $0.bytes) }
        }
    }

    @Test func theRingHoldsWhatASimpleListHolds() {
        var seeds = SystemRandomNumberGenerator()
        for _ in 0..<8 {
            let seed = seeds.next()
            expectSameAsModel(seed: seed)
        }
    }

    private func expectSameAsModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let capacity = Int.random(in: 64...2000, using: &random)
        var ring = RecentBatches(capacityBytes: capacity)
        var model = Model(capacityBytes: capacity)
        var position = Position(rawValue: UInt64.random(in: 0...10_000, using: &random))
        let first = position
        for step in 0..<1000 {
            // Seldom one that is larger than the whole ring; often ones that fill it exactly.
            let large = Int.random(in: 0..<50, using: &random) == 0
            let byteCount =
                large ? Int.random(in: 1...capacity + 20, using: &random) : 8 * Int.random(in: 1...12, using: &random)
            let bytes = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
            bytes.withUnsafeBytes { ring.insert($0, at: position) }
            model.insert(bytes, at: position)
            position = position + roundedUp(byteCount, to: 64)
            for _ in 0..<4 {
                let asked = Position(rawValue: UInt64.random(in: first.rawValue...position.rawValue, using: &random))
                let near = position + -min(Int.random(in: 0...capacity, using: &random), position - first)
                for asked in [asked, near] {
                    let found = ring.batch(containing: asked)
                    let expected = model.batch(containing: asked)
                    guard found?.start == expected?.start, found.map({ Array($0.bytes) }) == expected?.bytes else {
                        Issue.record("seed \(seed), step \(step): the ring and the list differ at \(asked)")
                        return
                    }
                }
            }
        }
    }

    @Test func aBatchLargerThanTheRingEmptiesIt() {
        var ring = RecentBatches(capacityBytes: 64)
        [UInt8](repeating: 1, count: 32).withUnsafeBytes { ring.insert($0, at: .zero) }
        [UInt8](repeating: 2, count: 65).withUnsafeBytes { ring.insert($0, at: .zero + 32) }
        #expect(ring.batch(containing: .zero) == nil)
        #expect(ring.batch(containing: .zero + 32) == nil)
        [UInt8](repeating: 3, count: 64).withUnsafeBytes { ring.insert($0, at: .zero + 200) }
        let found = ring.batch(containing: .zero + 263)?.start
        #expect(found == Position(rawValue: 200))
        #expect(ring.batch(containing: .zero + 264) == nil)
        #expect(ring.batch(containing: .zero + 199) == nil)
    }

    @Test func theNewestBatchIsAlwaysThereIfItFits() {
        var ring = RecentBatches(capacityBytes: 100)
        for step in 0..<5000 {
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: 1 + step % 100)
            bytes.withUnsafeBytes { ring.insert($0, at: .zero + 128 * step) }
            guard let found = ring.batch(containing: .zero + 128 * step) else {
                Issue.record("batch \(step) is not there")
                return
            }
            #expect(Array(found.bytes) == bytes)
        }
    }
}
