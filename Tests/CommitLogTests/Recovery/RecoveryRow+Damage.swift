import LogFormat
import Testing

@testable import CommitLog

/// Something acknowledged is gone.
extension RecoveryRow {
    private static let unreadable = "a later batch says that it was durable"

    static let damaged: [RecoveryRow] = [
        RecoveryRow("damaged-before-a-batch") { directory in
            let written = try writeThree(directory)
            let lost = written.batches[1]
            try directory.flip(lost, at: 5000)
            return .refuses(lost.file, lost.position, unreadable)
        },
        RecoveryRow("zeroed-before-a-batch") { directory in
            let written = try writeThree(directory)
            let lost = written.batches[1]
            try directory.zero(lost, blocks: 0..<3)
            return .refuses(lost.file, lost.position, unreadable)
        },
        RecoveryRow("damaged-before-a-segment") { directory in
            let written = try writeSegments(directory, 2)
            let lost = written.batches[written.batches.count - 2]
            #expect(!lost.beginsSegment)
            try directory.flip(lost, at: 0)
            return .refuses(lost.file, lost.position, unreadable)
        },
        RecoveryRow("zeroed-before-a-segment") { directory in
            // The proof stands where a batch that did not fit the segment before would stand.
            let written = try writeSegments(directory, 2)
            let lost = written.batches[written.batches.count - 2]
            #expect(!lost.beginsSegment)
            try directory.zero(lost, blocks: 0..<(lost.end - lost.position) / 4096)
            return .refuses(lost.file, lost.position, unreadable)
        },
        RecoveryRow("damaged-begin-of-segment") { directory in
            let written = try write(directory) { log in
                while log.log.segments.count < 2 { try log.commit(bytes: 200_000) }
                try log.commit(bytes: 10_000)
            }
            let lost = written.batches[written.batches.count - 2]
            #expect(lost.beginsSegment)
            try directory.flip(lost, at: 20)
            return .refuses(lost.file, lost.position, unreadable)
        },
        RecoveryRow("damaged-before-the-seal") { directory in
            let written = try writeThree(directory, seals: true)
            let lost = written.batches[2]
            try directory.zero(lost, blocks: 0..<3)
            return .refuses(lost.file, lost.position, unreadable)
        },
        RecoveryRow("damaged-seal-shared") { directory in
            // The last frames were still staged when the log was told to stop.
            let written = try write(directory) { log in
                try log.commit(bytes: 10_000)
                try log.stage(log.record(10_000))
                #expect(log.finish())
            }
            let lost = written.batches[0].end
            try directory.flip(directory.segment(0), at: Int(lost.rawValue) + 9000)
            return .refuses(directory.segment(0), lost, unreadable)
        },
        RecoveryRow("covered-by-checkpoint") { directory in
            let written = try write(directory) { log in
                for _ in 0..<2 { try log.commit(bytes: 10_000) }
                try log.checkpoint([1, 2, 3])
            }
            let lost = written.batches[1]
            try directory.zero(lost, blocks: 0..<3)
            return .refuses(lost.file, lost.position, "a checkpoint says that it was durable")
        },
        RecoveryRow("broken-chain") { directory in
            let written = try writeThree(directory)
            let last = written.batches[2]
            try replaceLast(directory, written) { $0.previousCRC ^= 1 }
            return .refuses(last.file, last.position, "does not follow the one before it")
        },
        RecoveryRow("epoch-goes-back") { directory in
            try writeThree(directory)
            let written = try writeThree(directory)
            let last = written.batches[2]
            try replaceLast(directory, written) { $0.epoch = Epoch(rawValue: 1) }
            return .refuses(last.file, last.position, "does not follow the one before it")
        },
        RecoveryRow("batch-missing") { directory in
            // The batch after the next stands where the next is expected.
            let written = try writeThree(directory)
            let last = written.batches[2]
            try replaceLast(directory, written) {
                $0.number = $0.number.next
                $0.durableThrough = $0.durableThrough.next
            }
            return .refuses(last.file, last.position, unreadable)
        },
        RecoveryRow("wrong-frame-in-right-batch") { directory in
            // Both checksums are right, and the lengths of the records are not: no disk does that.
            let written = try writeThree(directory)
            let last = written.batches[2]
            var bytes = try directory.bytes(last)
            bytes[BatchHeader.byteCount + FrameHeader.byteCount] ^= 1
            try directory.overwrite(last.file, at: last.fileOffset, with: Crafted.resealed(bytes))
            return .refuses(last.file, last.position, "is damaged")
        },
    ]

    /// Puts another batch in the place of the last one.
    private static func replaceLast(
        _ directory: ScratchDirectory, _ written: Written, change: (inout BatchHeader) -> Void
    ) throws {
        let last = written.batches[2]
        var header = try directory.bytes(last).withUnsafeBytes { try BatchView.header(at: $0) }
        change(&header)
        let batch = Crafted.batch(header, records: [Array(repeating: 5, count: 10_000)])
        try directory.overwrite(last.file, at: last.fileOffset, with: batch)
    }
}
