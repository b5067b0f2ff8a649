import Glibc
import LogFormat
import Testing

@testable import CommitLog

struct CheckpointTests {
    private static let sample = Checkpoint(
        storeID: StoreID(first: 0x0102_0304_0506_0708, second: 9),
        anchor: ScanAnchor(
            segment: Position(rawValue: 1 << 20),
            chain: ChainState(number: BatchNumber(rawValue: 77), crc: 0xDEAD_BEEF, epoch: Epoch(rawValue: 4))),
        through: BatchNumber(rawValue: 99), payload: Array("what the logs are".utf8))

    private func decode(_ bytes: [UInt8]) throws -> Checkpoint {
        try bytes.withUnsafeBytes { try Checkpoint(decoding: $0) }
    }

    @Test func aCheckpointComesBackAsItWas() throws {
        let decoded = try decode(Self.sample.encoded())
        #expect(decoded.storeID == Self.sample.storeID)
        #expect(decoded.anchor == Self.sample.anchor)
        #expect(decoded.through == Self.sample.through)
        #expect(decoded.payload == Self.sample.payload)
        let empty = Checkpoint(
            storeID: Self.sample.storeID, anchor: Self.sample.anchor, through: .zero, payload: [])
        #expect(try decode(empty.encoded()).payload == [])
    }

    @Test func everyTruncationIsRefused() {
        let bytes = Self.sample.encoded()
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self, "\(count) bytes") { try decode(Array(bytes[..<count])) }
        }
    }

    @Test func everyFlippedBitIsRefusedAndNoneAsANewerVersion() {
        let bytes = Self.sample.encoded()
        for bit in 0..<8 * bytes.count {
            var changed = bytes
            changed[bit / 8] ^= 1 << (bit % 8)
            do {
                _ = try decode(changed)
                Issue.record("bit \(bit) was not noticed")
            } catch let error as FormatError {
                #expect(!error.needsNewerVersion, "bit \(bit)")
            } catch { Issue.record("\(error)") }
        }
    }

    @Test func bytesBehindTheEndAreRefused() {
        for extra in 1...80 {
            let bytes = Self.sample.encoded() + Array(repeating: 0, count: extra)
            #expect(throws: FormatError.self, "\(extra) bytes") { try decode(bytes) }
        }
    }

    @Test func theLastTwoAreKeptAndTheNewestIsUsed() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        var names: [String] = []
        for number in 1...4 {
            try log.commit(bytes: 10)
            try log.checkpoint([UInt8(number)])
            names.append(DataDirectory.checkpointName(log.log.durable.number))
            #expect(directory.names(in: "checkpoint") == names.suffix(2))
        }
        let checkpoints = CheckpointDirectory(directory: directory.directory, fileSystem: PosixFileSystem())
        #expect(try checkpoints.newest().checkpoint?.payload == [4])
    }

    @Test(arguments: ["torn", "flipped", "empty", "unreadable"])
    func aBrokenCheckpointTakesNoWholeOnesPlace(_ fault: String) throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        let log = try DrivenLog(directory, fileSystem: files)
        var names: [String] = []
        for number in 1...4 {
            try log.commit(bytes: 10)
            try log.checkpoint([UInt8(number)])
            names.append(DataDirectory.checkpointName(log.log.durable.number))
            guard number == 3 else { continue }
            let broken = "checkpoint/\(names[2])"
            switch fault {
            case "torn": try directory.resize(broken, to: 50)
            case "flipped": try directory.overwrite(broken, at: 20, with: [0xff])
            case "empty": try directory.resize(broken, to: 0)
            default: files.fail { $0.operation == "pread" && $0.path.hasSuffix(broken) ? EIO : nil }
            }
        }
        // The second is whole, so it stays until two whole ones are newer; the first one went with the third.
        #expect(directory.names(in: "checkpoint") == Array(names[1...3]))
        try log.commit(bytes: 10)
        try log.checkpoint([5])
        names.append(DataDirectory.checkpointName(log.log.durable.number))
        #expect(directory.names(in: "checkpoint") == Array(names[3...4]))
    }

    /// Whichever call fails, the checkpoint before is still whole, and the failure is told.
    @Test(arguments: ["open", "pwrite", "fdatasync", "rename", "fsync"])
    func aCheckpointThatFailsLeavesTheOneBefore(_ operation: String) throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        do {
            let log = try DrivenLog(directory, fileSystem: files)
            log.awaitSpare()
            try log.commit(bytes: 10)
            try log.checkpoint([1])
            try log.commit(bytes: 10)
            files.fail { $0.operation == operation && $0.path.contains("/checkpoint") ? ENOSPC : nil }
            #expect(throws: FileError.self) { try log.checkpoint([2]) }
            files.fail { _ in nil }
            try log.commit(bytes: 10)
        }
        let log = try DrivenLog(directory)
        // Renamed and not synced: both are whole, and either is right.
        #expect(log.replayed.checkpoint == (operation == "fsync" ? [2] : [1]))
        #expect(log.replayed.frames.count == 3)
        #expect(directory.names(in: "checkpoint").allSatisfy { $0.hasSuffix(".ckpt") })
    }

    @Test func aCheckpointIsSyncedBeforeItGetsItsName() throws {
        let directory = try ScratchDirectory()
        let files = FaultyFileSystem()
        let log = try DrivenLog(directory, fileSystem: files)
        try log.checkpoint([1])
        let calls = files.calls.filter { $0.path.contains("/checkpoint") && $0.operation != "unlink" }
        #expect(calls.map(\.operation).suffix(6) == ["open", "pwrite", "fdatasync", "close", "rename", "fsync"])
    }

    @Test func anIndexStandsBesideItsSegmentWhole() throws {
        let directory = try ScratchDirectory()
        let log = try DrivenLog(directory)
        log.log.writeIndex([1, 2, 3], of: .zero)
        while log.finishedFiles.isEmpty { log.wait(timeoutMicroseconds: nil) }
        #expect(log.finishedFiles[0].kind == .index(.zero))
        #expect(log.finishedFiles[0].error == nil)
        #expect(try directory.contents("wal/00000000000000000000.idx") == [1, 2, 3])
    }
}
