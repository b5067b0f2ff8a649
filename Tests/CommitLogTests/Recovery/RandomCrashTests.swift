import LogFormat
import Testing

@testable import CommitLog

/// What a disk may make of the last write, and what it must never make of an earlier one; at random places, from seeds
/// that are told when a case fails.
struct RandomCrashTests {
    private static let sectorBytes = 512

    @Test func anySectorsOfTheLastBatchMayBeMissing() throws {
        let directory = try ScratchDirectory()
        let written = try writeThree(directory)
        let before = try directory.snapshot()
        let last = written.batches[2]
        var seeds = SystemRandomNumberGenerator()
        for _ in 0..<40 {
            let seed = seeds.next()
            var random = SeededGenerator(seed: seed)
            try directory.restore(before)
            var lost = 0
            for offset in stride(from: 0, to: last.blocks.count, by: Self.sectorBytes) where Bool.random(using: &random)
            {
                try directory.overwrite(
                    last.file, at: last.fileOffset + offset, with: Array(repeating: 0, count: Self.sectorBytes))
                if offset < last.byteCount { lost += 1 }
            }
            let frames = lost == 0 ? written.frames : written.frames.dropLast()
            for expectation in ["the first start", "a start after another crash"] {
                let replayed = try DrivenLog(directory).replayed.frames
                #expect(replayed == Array(frames), "seed \(seed), \(expectation)")
            }
        }
    }

    @Test func anyWrongBitInAnEarlierBatchIsDamage() throws {
        let directory = try ScratchDirectory()
        let written = try writeSegments(directory, 2, seals: true)
        var seeds = SystemRandomNumberGenerator()
        for _ in 0..<40 {
            let seed = seeds.next()
            var random = SeededGenerator(seed: seed)
            let batch = try #require(written.batches.randomElement(using: &random))
            let offset = Int.random(in: 0..<batch.byteCount, using: &random)
            try directory.flip(batch, at: offset)
            do {
                _ = try DrivenLog(directory)
                Issue.record("seed \(seed): batch \(batch.number), byte \(offset) was not noticed")
            } catch CommitLogError.damaged(let damage) {
                #expect(damage.file == batch.file, "seed \(seed)")
                #expect(damage.position == batch.position, "seed \(seed)")
            }
            try directory.flip(batch, at: offset)
        }
        #expect(try DrivenLog(directory).replayed.frames == written.frames)
    }

    @Test func aBatchThatHoldsTheBytesOfAnotherOneIsNotTakenForIt() throws {
        // A record whose bytes are a whole batch, at the beginning of a block, with everything right but the place.
        let directory = try ScratchDirectory()
        var written = try writeThree(directory)
        let stolen = try directory.bytes(written.batches[2])
        let padding = [UInt8](repeating: 0, count: 4096 - BatchHeader.byteCount - FrameHeader.byteCount - 4)
        written = try write(directory) { try $0.commit([padding + stolen]) }
        try directory.zero(written.batches[0], blocks: 0..<1)
        let log = try DrivenLog(directory)
        #expect(log.replayed.frames.count == 3)
        #expect(log.log.recovery.tornBytes > 0)
    }

    @Test func aLostIndexIsMadeFromTheBatchesOfItsSegment() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        while log.log.segments.count < 3 { try log.commit(bytes: 190_000) }
        for segment in log.log.segments {
            var batches = try SegmentBatches(segment, directory: directory.path, fileSystem: PosixFileSystem())
            var found: [Position] = []
            while let (_, position) = try batches.next() { found.append(position) }
            let expected = log.batches.filter { $0.segment == segment.position }.map(\.position)
            // The first one of all is the epoch's.
            #expect(found.suffix(expected.count) == expected[...])
            #expect(found.count == expected.count + (segment.position == .zero ? 1 : 0))
        }
    }

    @Test func aLostIndexIsNotMadeOfTheHalfOfADamagedSegment() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        while log.log.segments.count < 2 { try log.commit(bytes: 190_000) }
        let damaged = log.batches[1]
        try directory.flip(damaged, at: 100_000)
        var batches = try SegmentBatches(
            log.log.segments[0], directory: directory.path, fileSystem: PosixFileSystem())
        var count = 0
        do {
            while try batches.next() != nil { count += 1 }
            Issue.record("the segment seemed to end at the damage")
        } catch CommitLogError.damaged(let damage) {
            #expect(damage.file == damaged.file)
            #expect(damage.position == damaged.position)
        }
        // The epoch's and the first.
        #expect(count == 2)
    }
}

extension ScratchDirectory {
    /// Puts everything back as it was.
    func restore(_ files: [String: [UInt8]]) throws {
        for name in try snapshot().keys where files[name] == nil { try remove(name) }
        for (name, bytes) in files { try overwrite(name, at: 0, with: bytes) }
    }
}
