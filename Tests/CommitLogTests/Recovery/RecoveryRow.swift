import LogFormat
import Testing

@testable import CommitLog

/// One row of the decision table in docs/DURABILITY.md, under the same name.
struct RecoveryRow: Sendable, CustomTestStringConvertible {
    let name: String
    /// Makes the directory that the row is about, and says what a start must do with it.
    let prepare: @Sendable (ScratchDirectory) throws -> Situation

    var testDescription: String { name }

    init(_ name: String, _ prepare: @escaping @Sendable (ScratchDirectory) throws -> Situation) {
        self.name = name
        self.prepare = prepare
    }

    static let all = ends + torn + damaged + catalog + checkpoints + newer + turns
}

/// What a start finds and must make of it.
struct Situation {
    enum Verdict {
        case opens(Opening)
        /// Refuses as damaged. The position is that of the missing or wrong thing; `saying` is part of the cause.
        case refuses(file: String, position: Position?, saying: String)
        /// Refuses as written by a newer version.
        case needsNewer(file: String, saying: String)
    }

    var verdict: Verdict
    /// Bytes of the segments that the start makes.
    var segmentBytes = DrivenLog.segmentBytes

    static func opens(_ frames: [[UInt8]], _ change: (inout Opening) -> Void = { _ in }) -> Situation {
        var opening = Opening(frames: frames)
        change(&opening)
        return Situation(verdict: .opens(opening))
    }

    static func refuses(_ file: String, _ position: Position?, _ text: String) -> Situation {
        Situation(verdict: .refuses(file: file, position: position, saying: text))
    }

    static func needsNewer(_ file: String, _ text: String) -> Situation {
        Situation(verdict: .needsNewer(file: file, saying: text))
    }
}

/// What a start that succeeds must show.
struct Opening {
    /// The append frames that are replayed, byte for byte.
    var frames: [[UInt8]]
    /// The epoch that the start begins.
    var epoch: UInt32 = 2
    /// The bytes of each file that are cut and saved.
    var torn: [(file: String, range: Range<Int>)] = []
    var checkpoint: [UInt8]?
    var ignoredCheckpoints: [String] = []
    /// The segments before the replay.
    var indexed: [Position] = []
    var isNewStore = false
    /// What the directory `wal` holds afterwards, as soon as there is a spare.
    var segmentNames: [String]?
    /// The segment that the first batch of the start goes to.
    var continuesIn: Position?
}

/// What a run of a log had acknowledged when it ended.
struct Written {
    let storeID: StoreID
    let chain: ChainState
    let batches: [BatchPlace]
    let frames: [[UInt8]]
    /// The position behind the last batch.
    let end: Position
}

/// Runs a log, and ends it as a crash does, or with a seal as a stop does.
@discardableResult
func write(
    _ directory: ScratchDirectory, seals: Bool = false, _ body: (DrivenLog) throws -> Void
) throws -> Written {
    let driven = try DrivenLog(directory)
    // So that each run leaves the same files, however fast the machine is.
    driven.awaitSpare()
    try body(driven)
    driven.awaitSpare()
    if seals { #expect(driven.finish()) }
    return Written(
        storeID: driven.log.storeID, chain: driven.log.chain, batches: driven.batches, frames: driven.frames,
        end: driven.log.durable.position)
}

/// Three batches of three blocks each, unsealed.
@discardableResult
func writeThree(_ directory: ScratchDirectory, seals: Bool = false) throws -> Written {
    try write(directory, seals: seals) { log in for _ in 0..<3 { try log.commit(bytes: 10_000) } }
}

/// Batches of 200 KB until so many segments have one at least.
@discardableResult
func writeSegments(_ directory: ScratchDirectory, _ count: Int, seals: Bool = false) throws -> Written {
    try write(directory, seals: seals) { log in while log.log.segments.count < count { try log.commit(bytes: 200_000) }
    }
}

extension ScratchDirectory {
    static let block = 4096

    func segment(_ index: Int) -> String {
        "wal/\(DataDirectory.segmentName(Position(rawValue: UInt64(index * DrivenLog.segmentBytes))))"
    }

    /// Overwrites blocks of a batch with zeros, as if they had never been written.
    func zero(_ batch: BatchPlace, blocks: Range<Int>) throws {
        try overwrite(
            batch.file, at: batch.fileOffset + blocks.lowerBound * Self.block,
            with: Array(repeating: 0, count: blocks.count * Self.block))
    }

    /// Changes one bit of a batch.
    func flip(_ batch: BatchPlace, at offset: Int) throws {
        try flip(batch.file, at: batch.fileOffset + offset)
    }

    /// Changes one bit of a file.
    func flip(_ file: String, at offset: Int) throws {
        let bytes = try #require(try contents(file))
        try overwrite(file, at: offset, with: [bytes[offset] ^ 0x10])
    }

    func bytes(_ batch: BatchPlace) throws -> [UInt8] {
        let file = try #require(try contents(batch.file))
        return Array(file[batch.fileOffset..<batch.fileOffset + batch.byteCount])
    }
}

extension BatchPlace {
    /// The file offsets of all its blocks.
    var blocks: Range<Int> { fileOffset..<fileOffset + roundedUp(byteCount, to: ScratchDirectory.block) }
    var end: Position { position + blocks.count }
}
