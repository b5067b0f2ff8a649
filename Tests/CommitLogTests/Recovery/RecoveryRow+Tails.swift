import LogFormat
import Testing

@testable import CommitLog

/// How a log can end.
extension RecoveryRow {
    static let ends: [RecoveryRow] = [
        RecoveryRow("new-directory") { directory in
            .opens([]) {
                $0.isNewStore = true
                $0.epoch = 1
            }
        },
        RecoveryRow("creation-interrupted") { directory in
            let files = PosixFileSystem()
            for folder in ["wal", "checkpoint"] { try files.makeDirectory("\(directory.path)/\(folder)") }
            try directory.overwrite("\(directory.segment(0)).tmp", at: 0, with: Array(repeating: 7, count: 5000))
            return .opens([]) {
                $0.isNewStore = true
                $0.epoch = 1
            }
        },
        RecoveryRow("sealed-end") { directory in .opens(try writeThree(directory, seals: true).frames) },
        RecoveryRow("unsealed-end") { directory in .opens(try writeThree(directory).frames) },
        RecoveryRow("unacknowledged-but-whole") { directory in
            let written = try writeThree(directory)
            let header = Crafted.follower(of: written.chain, storeID: written.storeID, at: written.end)
            let batch = Crafted.batch(header, records: [[1, 2, 3]])
            try directory.overwrite(directory.segment(0), at: written.batches[2].blocks.upperBound, with: batch)
            var view = try batch.withUnsafeBytes { try BatchView(checking: $0) }
            return .opens(written.frames + [Array(try #require(try view.nextFrame()).bytes)])
        },
        RecoveryRow("exactly-full-segment") { directory in
            let written = try write(directory) { log in
                while log.log.active.remainingBytes > 0 {
                    let room = min(log.log.active.remainingBytes, 40 * ScratchDirectory.block)
                    try log.commit(bytes: room - BatchHeader.byteCount - FrameHeader.byteCount - 4)
                }
            }
            return .opens(written.frames) { $0.continuesIn = Position(rawValue: UInt64(DrivenLog.segmentBytes)) }
        },
    ]

    static let torn: [RecoveryRow] = [
        RecoveryRow("torn-header") { directory in
            try tearLast(directory) { try directory.zero($0, blocks: 0..<1) }
        },
        RecoveryRow("torn-body") { directory in
            try tearLast(directory) { try directory.zero($0, blocks: 1..<2) }
        },
        RecoveryRow("torn-end") { directory in
            try tearLast(directory, keptBlocks: 2) { try directory.zero($0, blocks: 2..<3) }
        },
        RecoveryRow("torn-bit") { directory in
            try tearLast(directory) { try directory.flip($0, at: 9000) }
        },
        RecoveryRow("foreign-bytes") { directory in
            // A whole batch of another store, as a disk that was used before may hold.
            let written = try writeThree(directory)
            let foreign = StoreID(first: 1, second: 2)
            let batch = Crafted.batch(
                Crafted.follower(of: written.chain, storeID: foreign, at: written.end), records: [[1]])
            let start = written.batches[2].blocks.upperBound
            try directory.overwrite(directory.segment(0), at: start, with: batch)
            return .opens(written.frames) { $0.torn = [(directory.segment(0), start..<start + batch.count)] }
        },
        RecoveryRow("displaced-batch") { directory in
            // The right bytes at the wrong place: a write that went astray.
            let written = try writeThree(directory)
            let batch = Crafted.batch(
                Crafted.follower(of: written.chain, storeID: written.storeID, at: written.end + 4096),
                records: [[1]])
            let start = written.batches[2].blocks.upperBound
            try directory.overwrite(directory.segment(0), at: start, with: batch)
            return .opens(written.frames) { $0.torn = [(directory.segment(0), start..<start + batch.count)] }
        },
        RecoveryRow("torn-in-next-segment") { directory in
            let written = try writeSegments(directory, 2)
            let last = try #require(written.batches.last)
            #expect(last.beginsSegment)
            try directory.zero(last, blocks: 0..<1)
            return .opens(written.frames.dropLast()) { $0.torn = [(last.file, last.blocks)] }
        },
        RecoveryRow("cut-interrupted") { directory in
            // The bytes were saved, and the zeros reached the first two blocks when the power went.
            let written = try writeThree(directory)
            let last = written.batches[2]
            try PosixFileSystem().makeDirectory(directory.directory.tornPath)
            let saved = try directory.bytes(last)
            try directory.overwrite("torn/\(last.position)-1-0.bytes", at: 0, with: saved)
            try directory.zero(last, blocks: 0..<2)
            return .opens(written.frames.dropLast()) { $0.torn = [(last.file, last.blocks)] }
        },
    ]

    /// Three batches, the last one torn. The blocks from `keptBlocks` on are zeros, if it is told.
    private static func tearLast(
        _ directory: ScratchDirectory, keptBlocks: Int = 3, _ tear: (BatchPlace) throws -> Void
    ) throws -> Situation {
        let written = try writeThree(directory)
        let last = written.batches[2]
        #expect(last.blocks.count == 3 * ScratchDirectory.block)
        try tear(last)
        let range = last.blocks.lowerBound..<last.blocks.lowerBound + keptBlocks * ScratchDirectory.block
        return .opens(written.frames.dropLast()) { $0.torn = [(last.file, range)] }
    }
}
