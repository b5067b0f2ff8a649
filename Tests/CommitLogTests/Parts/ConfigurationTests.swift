import LogFormat
import Testing

@testable import CommitLog

struct ConfigurationTests {
    private func isAccepted(_ change: (inout CommitLogConfiguration) -> Void) -> Bool {
        var configuration = CommitLogConfiguration(directory: "/nowhere")
        change(&configuration)
        do { try configuration.check(blockBytes: 4096) } catch { return false }
        return true
    }

    @Test func sizesThatContradictEachOtherAreRefused() {
        #expect(isAccepted { _ in })
        #expect(isAccepted { $0.batchBytesMax = 4 * 4096 })
        #expect(!isAccepted { $0.batchBytesMax = 4 * 4096 - 1 })
        #expect(!isAccepted { $0.batchBytesMax = -1 })
        #expect(!isAccepted { $0.batchBytesMax = CommitLogLimits.batchBytesMax + 1 })
        #expect(!isAccepted { $0.segmentBytes = 0 })
        #expect(!isAccepted { $0.segmentBytes = (64 << 20) + 1 })
        #expect(!isAccepted { $0.segmentBytes = CommitLogLimits.segmentBytesMax + 1 << 20 })
        #expect(isAccepted { ($0.segmentBytes, $0.batchBytesMax) = (2 << 20, (2 << 20) - 2 * 4096) })
        #expect(!isAccepted { ($0.segmentBytes, $0.batchBytesMax) = (2 << 20, (2 << 20) - 2 * 4096 + 1) })
        #expect(!isAccepted { $0.lingerMicroseconds = -1 })
    }

    @Test func theLargestBatchOfTheSmallestSegmentIsWrittenAndReadBack() throws {
        let directory = try ScratchDirectory()
        var configuration = DrivenLog.configuration(directory)
        configuration.batchBytesMax = configuration.segmentBytes - 2 * 4096
        var frames: [[UInt8]] = []
        do {
            let log = try DrivenLog(configuration)
            let room = configuration.batchBytesMax - BatchHeader.byteCount - FrameHeader.byteCount - 4
            for _ in 0..<2 { try log.commit(bytes: room) }
            #expect(log.append(log.record(room + 4096 + 1)) == .busy)
            #expect(log.log.segments.count == 2)
            frames = log.frames
        }
        #expect(try DrivenLog(configuration).replayed.frames == frames)
    }

    @Test func batchSizesThatAreNoMultipleOfABlockFillTheBufferToItsEnd() throws {
        let directory = try ScratchDirectory()
        var configuration = DrivenLog.configuration(directory)
        configuration.batchBytesMax = 100_001
        let log = try DrivenLog(configuration)
        var count = 0
        while case .staged = log.append([UInt8](repeating: 1, count: 4)) { count += 1 }
        #expect(count == (roundedUp(100_001, to: 4096) - BatchHeader.byteCount) / 56)
        while log.frames.count < count { log.wait() }
    }

    /// Each combination of what can be found, and the one row of the table that decides it.
    @Test func theTailIsDecidedInTheOrderOfTheTable() {
        for bits in 0..<16 {
            let evidence = TailEvidence(
                isChainBroken: bits & 1 != 0, hasLaterWitness: bits & 2 != 0, isCoveredByCheckpoint: bits & 4 != 0,
                hasBytesBehind: bits & 8 != 0)
            switch TailDecision(evidence) {
            case .end: #expect(bits == 0)
            case .cutTornTail: #expect(bits == 8)
            case .damage(let cause):
                #expect(bits & 7 != 0)
                #expect(cause.contains("checkpoint") == (bits & 4 != 0))
                #expect(cause.contains("a later batch") == (bits & 6 == 2))
                #expect(cause.contains("does not follow") == (bits & 7 == 1))
            }
        }
    }

    @Test func namesOfFilesAreNumbersAndNothingElse() {
        #expect(DataDirectory.segmentName(Position(rawValue: 7)) == "00000000000000000007.seg")
        #expect(DataDirectory.number(of: "00000000000000000007.seg", ending: ".seg") == 7)
        #expect(DataDirectory.number(of: "18446744073709551615.seg", ending: ".seg") == .max)
        for name in [
            "7.seg", "00000000000000000007.seg.tmp", "0000000000000000000a.seg", "+0000000000000000007.seg",
            "00000000000000000007.idx", "99999999999999999999.seg", "", ".seg",
        ] {
            #expect(DataDirectory.number(of: name, ending: ".seg") == nil, "\(name)")
        }
        #expect(DataDirectory(path: "/a/b/").lockPath == "/a/b/LOCK")
        #expect(DataDirectory(path: "/").path == "/")
        #expect(DataDirectory(path: "/").parentPath == "/")
        #expect(DataDirectory(path: "/a").parentPath == "/")
        #expect(DataDirectory(path: "/a/b/").parentPath == "/a")
        #expect(DataDirectory(path: "a").parentPath == ".")
    }
}
