import Testing

@testable import LogFormat

/// Batches of which the disk kept some sectors and not others, over bytes that were there before.
@Suite struct TornBatchTests {
    private static let sectorBytes = 512

    /// A batch over several sectors whose records can be told from those of any other `seed`.
    private static func batch(number: UInt64, seed: UInt8) -> SampleBatch {
        SampleBatch(
            number: BatchNumber(rawValue: number),
            frames: (0..<6).map { index in
                SampleFrame(
                    firstOffset: RecordOffset(rawValue: number * 100 + UInt64(index)),
                    records: [[UInt8](repeating: seed &+ UInt8(index), count: 400)])
            })
    }

    /// A recycled segment holds whole batches of its former life; here the new batch lies right over one of them.
    @Test func everyCutOverAnOlderBatchGivesOneBatchOrNone() {
        let old = Self.batch(number: 5, seed: 1)
        let new = Self.batch(number: 50, seed: 101)
        let oldBytes = old.encoded()
        let newBytes = new.encoded()
        var read: Set<UInt64> = []
        for cut in 0...newBytes.count {
            guard let batch = try? SampleBatch(decoding: Array(newBytes[..<cut] + oldBytes[cut...])) else { continue }
            #expect(batch == old || batch == new, "cut at \(cut)")
            read.insert(batch.number.rawValue)
        }
        #expect(read == [5, 50])
    }

    @Test func everyMixOfOldAndNewSectorsGivesOneBatchOrNone() {
        let old = Self.batch(number: 5, seed: 1)
        let new = Self.batch(number: 50, seed: 101)
        let zeros = [UInt8](repeating: 0, count: old.encoded().count)
        for before in [old.encoded(), zeros] {
            checkEveryMix(before: before, old: old, new: new)
        }
    }

    private func checkEveryMix(before: [UInt8], old: SampleBatch, new: SampleBatch) {
        let newBytes = new.encoded()
        let sectorCount = (new.encodedExactly().count + Self.sectorBytes - 1) / Self.sectorBytes
        for kept in 0..<1 << sectorCount {
            var bytes = before
            for sector in 0..<sectorCount where kept & 1 << sector != 0 {
                let range = sector * Self.sectorBytes..<(sector + 1) * Self.sectorBytes
                bytes.replaceSubrange(range, with: newBytes[range])
            }
            let isWhole = kept == 1 << sectorCount - 1
            switch Result(catching: { () throws(FormatError) in try SampleBatch(decoding: bytes) }) {
            case .success(let batch): #expect(batch == (isWhole ? new : old), "sectors \(String(kept, radix: 2))")
            case .failure(let error): #expect(!isWhole && !error.needsNewerVersion, "\(error)")
            }
        }
    }

    /// Any bytes may be read from a disk, right checksums included: nothing may be read beyond them, nothing may trap,
    /// and what is accepted must be what encoding gives.
    @Test func forgedBatchesNeverTrapOrReadBeyondTheirBytes() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SplitMix(state: seed)
        var acceptedCount = 0
        for round in 0..<10_000 {
            let bytes = forgedBatch(&generator)
            guard let batch = try? SampleBatch(decoding: bytes) else { continue }
            acceptedCount += 1
            let byteCount = Int(bytes.integer(at: 8, as: UInt32.self))
            guard batch.encodedExactly() != Array(bytes[..<byteCount]) else { continue }
            Issue.record("seed \(seed), round \(round)")
        }
        #expect(acceptedCount > 0, "seed \(seed): every forgery was refused, so nothing was compared")
    }

    /// The sample batch with up to four integers overwritten and all checksums right.
    private func forgedBatch(_ generator: inout SplitMix) -> [UInt8] {
        var bytes = SampleBatch.several.encodedExactly()
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            let values: [UInt32] = [0, 1, 4, 7, 8, 48, 0xFFFF, .max, .random(in: 0 ... .max, using: &generator)]
            let value = values.randomElement(using: &generator)!
            let offset = Int.random(in: 8..<bytes.count - 4, using: &generator)
            if Bool.random(using: &generator) {
                bytes.store(UInt8(truncatingIfNeeded: value), at: offset)
            } else {
                bytes.store(value, at: offset & ~3)
            }
        }
        var offset = BatchHeader.byteCount
        while offset + FrameHeader.byteCount <= bytes.count {
            let frameBytes = Int(bytes.integer(at: offset, as: UInt32.self))
            guard frameBytes >= 8 && frameBytes <= bytes.count - offset else { break }
            bytes.repairFrameChecksum(at: offset)
            offset += frameBytes
        }
        if (8...bytes.count).contains(Int(bytes.integer(at: 8, as: UInt32.self))) { bytes.repairBatchChecksum() }
        return bytes
    }
}

/// A small seeded generator, so that a failure can be replayed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
