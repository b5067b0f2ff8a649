import LogFormat
import Testing

@testable import CommitLog

/// A checkpoint lets a start begin later, and never makes it show less.
extension RecoveryRow {
    static let checkpoints: [RecoveryRow] = [
        RecoveryRow("checkpoint") { directory in
            let written = try writeWithCheckpoints(directory)
            return .opens(written.framesFromSegment(1)) {
                $0.checkpoint = [2]
                $0.indexed = [.zero]
            }
        },
        RecoveryRow("retired-segments") { directory in
            let written = try writeThreeSegments(directory, kept: [])
            for index in [0, 1] { try directory.remove(directory.segment(index)) }
            return .opens(written.framesFromSegment(2)) { $0.checkpoint = [1] }
        },
        RecoveryRow("retired-between-kept") { directory in
            let written = try writeThreeSegments(directory, kept: [0])
            try directory.remove(directory.segment(1))
            return .opens(written.framesFromSegment(2)) {
                $0.checkpoint = [1]
                $0.indexed = [.zero]
            }
        },
        RecoveryRow("retired-and-half-removed") { directory in
            let written = try writeThreeSegments(directory, kept: [])
            try directory.resize(directory.segment(0), to: 4096)
            try directory.resize(directory.segment(1), to: 0)
            return .opens(written.framesFromSegment(2)) { $0.checkpoint = [1] }
        },
        RecoveryRow("kept-segment-missing") { directory in
            try writeThreeSegments(directory, kept: [1])
            try directory.remove(directory.segment(1))
            return .refuses(directory.segment(1), Position(rawValue: 1 << 20), "it holds records that are kept")
        },
        RecoveryRow("newest-checkpoint-torn") { directory in
            let written = try writeWithCheckpoints(directory)
            let newest = try #require(directory.names(in: "checkpoint").last)
            try directory.resize("checkpoint/\(newest)", to: 40)
            return .opens(written.frames) {
                $0.checkpoint = [1]
                $0.ignoredCheckpoints = [newest]
            }
        },
        RecoveryRow("newest-checkpoint-with-a-flipped-version") { directory in
            let written = try writeWithCheckpoints(directory)
            let newest = try #require(directory.names(in: "checkpoint").last)
            try directory.flip("checkpoint/\(newest)", at: 9)
            return .opens(written.frames) {
                $0.checkpoint = [1]
                $0.ignoredCheckpoints = [newest]
            }
        },
        RecoveryRow("all-checkpoints-torn") { directory in
            let written = try writeWithCheckpoints(directory)
            let names = directory.names(in: "checkpoint")
            for name in names { try directory.flip("checkpoint/\(name)", at: 72) }
            return .opens(written.frames) { $0.ignoredCheckpoints = names.reversed() }
        },
        RecoveryRow("all-checkpoints-torn-and-segments-retired") { directory in
            try writeWithCheckpoints(directory)
            for name in directory.names(in: "checkpoint") { try directory.flip("checkpoint/\(name)", at: 72) }
            try directory.remove(directory.segment(0))
            return .refuses(
                directory.segment(1), Position(rawValue: 1 << 20), "no readable checkpoint says what was before it")
        },
        RecoveryRow("checkpoint-without-segments") { directory in
            try writeWithCheckpoints(directory)
            for name in directory.names(in: "wal") { try directory.remove("wal/\(name)") }
            return .refuses("wal", nil, "there are checkpoints, and no segment")
        },
        RecoveryRow("checkpoint-segment-missing") { directory in
            try writeWithCheckpoints(directory)
            for index in [1, 2] { try directory.remove(directory.segment(index)) }
            return .refuses(
                directory.segment(1), Position(rawValue: 1 << 20), "the segment is missing where checkpoint/")
        },
        RecoveryRow("checkpoint-of-another-store") { directory in
            try writeWithCheckpoints(directory)
            let newest = try #require(directory.names(in: "checkpoint").last)
            var bytes = try #require(try directory.contents("checkpoint/\(newest)"))
            bytes[16] ^= 1
            try directory.overwrite("checkpoint/\(newest)", at: 0, with: Crafted.withChecksum(bytes))
            return .refuses("checkpoint/\(newest)", nil, "it belongs to another store than the segments")
        },
        RecoveryRow("torn-tail-behind-a-checkpoint") { directory in
            // The last batch came after the checkpoint: it may have been torn.
            let written = try writeWithCheckpoints(directory)
            let last = try #require(written.batches.last)
            try directory.zero(last, blocks: 0..<1)
            return .opens(written.framesFromSegment(1).dropLast()) {
                $0.checkpoint = [2]
                $0.indexed = [.zero]
                $0.torn = [(last.file, last.blocks)]
            }
        },
    ]

    /// Three segments, and a checkpoint in the last one that says which of the others are kept.
    @discardableResult
    private static func writeThreeSegments(_ directory: ScratchDirectory, kept: [Int]) throws -> Written {
        try write(directory) { log in
            while log.log.segments.count < 3 { try log.commit(bytes: 200_000) }
            try log.checkpoint([1], kept: kept)
        }
    }

    /// Two segments, a checkpoint in each, and a batch behind the last checkpoint.
    @discardableResult
    private static func writeWithCheckpoints(_ directory: ScratchDirectory) throws -> Written {
        try write(directory) { log in
            try log.commit(bytes: 200_000)
            try log.checkpoint([1])
            while log.log.segments.count < 2 { try log.commit(bytes: 200_000) }
            try log.checkpoint([2])
            try log.commit(bytes: 10_000)
        }
    }
}

extension Written {
    /// The frames of the batches from a segment on.
    func framesFromSegment(_ index: Int) -> [[UInt8]] {
        let first = Position(rawValue: UInt64(index * DrivenLog.segmentBytes))
        return zip(batches, frames).filter { $0.0.segment >= first }.map(\.1)
    }
}

extension Crafted {
    /// Puts a right checksum behind the bytes of a checkpoint that was changed.
    static func withChecksum(_ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.append(bytes: bytes.dropLast(4))
        writer.append(writer.checksum())
        return writer.bytes
    }
}
