import LogFormat
import Testing

@testable import CommitLog

/// Segment files that are missing, wrong, of another size or of a newer version.
extension RecoveryRow {
    private static func position(_ index: Int) -> Position {
        Position(rawValue: UInt64(index * DrivenLog.segmentBytes))
    }

    static let catalog: [RecoveryRow] = [
        RecoveryRow("segment-missing") { directory in
            try writeSegments(directory, 3)
            try directory.remove(directory.segment(1))
            return .refuses(directory.segment(2), position(1), "wal/00000000000001048576.seg before it is missing")
        },
        RecoveryRow("first-segment-missing") { directory in
            try writeSegments(directory, 2)
            try directory.remove(directory.segment(0))
            return .refuses(directory.segment(1), position(1), "no readable checkpoint says what was before it")
        },
        RecoveryRow("header-unreadable") { directory in
            try writeSegments(directory, 2)
            try directory.flip(directory.segment(1), at: 50)
            return .refuses(directory.segment(1), position(1), "its header is unreadable")
        },
        RecoveryRow("segment-empty") { directory in
            try writeSegments(directory, 2)
            try directory.resize(directory.segment(1), to: 0)
            return .refuses(directory.segment(1), position(1), "its header is unreadable")
        },
        RecoveryRow("segment-too-short") { directory in
            try writeSegments(directory, 2)
            try directory.resize(directory.segment(0), to: DrivenLog.segmentBytes - 4096)
            return .refuses(directory.segment(0), position(0), "it has 1044480 bytes, its header says 1048576")
        },
        RecoveryRow("segment-of-another-store") { directory in
            try writeSegments(directory, 2)
            let header = Crafted.header(try directory.header(directory.segment(1))) {
                $0.storeID = StoreID(first: 1, second: 2)
            }
            try directory.overwrite(directory.segment(1), at: 0, with: header)
            return .refuses(directory.segment(1), position(1), "it belongs to another store")
        },
        RecoveryRow("segment-misnamed") { directory in
            try writeSegments(directory, 2)
            try directory.rename(directory.segment(1), to: directory.segment(7))
            return .refuses(directory.segment(7), position(7), "its header names the position 1048576")
        },
        RecoveryRow("leftovers") { directory in
            let written = try writeThree(directory)
            for name in ["\(directory.segment(9)).tmp", "\(directory.segment(0)).idx.tmp", "checkpoint/1.ckpt.tmp"] {
                try directory.overwrite(name, at: 0, with: Array(repeating: 9, count: 10_000))
            }
            return .opens(written.frames) {
                $0.segmentNames = ["00000000000000000000.seg", "00000000000001048576.seg"]
            }
        },
        RecoveryRow("spare") { directory in
            let written = try writeThree(directory)
            #expect(directory.names(in: "wal").count == 2)
            return .opens(written.frames) {
                $0.segmentNames = ["00000000000000000000.seg", "00000000000001048576.seg"]
                $0.continuesIn = .zero
            }
        },
    ]

    static let newer: [RecoveryRow] = [
        RecoveryRow("newer-format-version") { directory in
            try writeThree(directory)
            let header = Crafted.header(try directory.header(directory.segment(0))) { $0.formatVersion = 2 }
            try directory.overwrite(directory.segment(0), at: 0, with: header)
            return .needsNewer(directory.segment(0), "Format version 2")
        },
        RecoveryRow("newer-feature") { directory in
            try writeThree(directory)
            let header = Crafted.header(try directory.header(directory.segment(1))) { $0.incompatibleFeatures = 0x40 }
            try directory.overwrite(directory.segment(1), at: 0, with: header)
            return .needsNewer(directory.segment(1), "features 0x40")
        },
        RecoveryRow("newer-feature-that-may-be-ignored") { directory in
            let written = try writeThree(directory)
            let header = Crafted.header(try directory.header(directory.segment(0))) { $0.compatibleFeatures = 0x40 }
            try directory.overwrite(directory.segment(0), at: 0, with: header)
            return .opens(written.frames)
        },
        RecoveryRow("newer-frame-kind") { directory in
            let written = try writeThree(directory)
            // The last batch: a version that takes it for torn would cut it.
            let last = written.batches[2]
            var bytes = try directory.bytes(last)
            bytes[BatchHeader.byteCount + 8] = 200
            try directory.overwrite(last.file, at: last.fileOffset, with: Crafted.resealed(bytes))
            return .needsNewer(last.file, "frame kind 200")
        },
        RecoveryRow("newer-checkpoint") { directory in
            try write(directory) { try $0.checkpoint([1]) }
            let name = try #require(directory.names(in: "checkpoint").last)
            var bytes = try #require(try directory.contents("checkpoint/\(name)"))
            bytes[8] = 3
            try directory.overwrite("checkpoint/\(name)", at: 0, with: Crafted.withChecksum(bytes))
            return .needsNewer("checkpoint/\(name)", "Format version 3")
        },
    ]

    static let turns: [RecoveryRow] = [
        RecoveryRow("segment-size-changed") { directory in
            let written = try writeSegments(directory, 2)
            var situation = Situation.opens(written.frames) {
                $0.continuesIn = position(1)
                $0.segmentNames = (0...2).map { DataDirectory.segmentName(position($0)) }
            }
            situation.segmentBytes = 2 * DrivenLog.segmentBytes
            return situation
        },
        RecoveryRow("segment-size-changed-with-two-spares") { directory in
            // The first batch of a segment is torn, and the segment after it was ready: both hold no batch now.
            let written = try writeSegments(directory, 2)
            let last = try #require(written.batches.last)
            try directory.zero(last, blocks: 0..<1)
            #expect(directory.names(in: "wal").count == 3)
            var situation = Situation.opens(written.frames.dropLast()) {
                $0.torn = [(last.file, last.blocks)]
                $0.segmentNames = (0...1).map { DataDirectory.segmentName(position($0)) }
            }
            situation.segmentBytes = 2 * DrivenLog.segmentBytes
            return situation
        },
        RecoveryRow("blocks-too-small") { directory in
            let frames = try craftSegment(directory, blockBytes: 512)
            return .opens(frames) {
                $0.epoch = 6
                $0.continuesIn = position(1)
            }
        },
        RecoveryRow("blocks-too-large") { directory in
            let frames = try craftSegment(directory, blockBytes: 65_536)
            return .opens(frames) {
                $0.epoch = 6
                $0.continuesIn = position(1)
            }
        },
    ]

    /// A segment with blocks of this size and two batches of epoch 5; returns their frames.
    private static func craftSegment(_ directory: ScratchDirectory, blockBytes: Int) throws -> [[UInt8]] {
        let files = PosixFileSystem()
        for folder in ["wal", "checkpoint"] { try files.makeDirectory("\(directory.path)/\(folder)") }
        let store = StoreID(first: 3, second: 4)
        let header = SegmentHeader(
            blockBytes: UInt32(blockBytes), storeID: store, position: .zero,
            segmentBytes: UInt64(DrivenLog.segmentBytes),
            created: .zero)
        try directory.overwrite(directory.segment(0), at: 0, with: Crafted.header(header) { _ in })
        try directory.resize(directory.segment(0), to: DrivenLog.segmentBytes)
        var chain = ChainState(number: .zero, crc: 0, epoch: Epoch(rawValue: 5))
        var frames: [[UInt8]] = []
        var offset = blockBytes
        for record in [[UInt8](repeating: 1, count: 700), [2, 3]] {
            let header = Crafted.follower(of: chain, storeID: store, at: .zero + offset)
            let batch = Crafted.batch(header, records: [record], blockBytes: blockBytes)
            try directory.overwrite(directory.segment(0), at: offset, with: batch)
            offset += batch.count
            var view = try batch.withUnsafeBytes { try BatchView(checking: $0) }
            chain = ChainState(after: view.header)
            frames.append(Array(try #require(try view.nextFrame()).bytes))
        }
        return frames
    }
}
