import LogFormat

/// Follows the batches of a directory over damage: from each whole batch to the next one that is whole, and into what
/// lies between, as far as its parts can be told apart.
struct SalvageWalk {
    /// A stretch without a whole batch, in whole blocks.
    struct Gap {
        let fileIndex: Int
        /// From the block where a batch was missed to the last one that is not all zeros.
        let range: Range<Int>
        /// The next whole batch, or the end of the file: zeros at the end of a record belong to it.
        let limit: Int
    }

    private let log: OfflineLog
    private let salvagesTail: Bool
    private let visit: (SalvageEvent) throws(CommitLogError) -> Void
    private let files: [OfflineCatalog.File]
    /// The last whole batch; nil if it is not known what was before the first segment.
    private var chain: ChainState?
    private var tail = OfflineTail()
    /// The stretches with other bytes than zeros since the last whole batch.
    private var gaps: [Gap] = []
    /// Where a batch was missed first since the last whole one.
    private var firstMiss: (fileIndex: Int, offset: Int)?
    /// Nothing in the segment that the walk is in was found damaged.
    private var isSegmentWhole = true

    init(
        _ log: OfflineLog, salvagesTail: Bool, _ visit: @escaping (SalvageEvent) throws(CommitLogError) -> Void
    ) {
        self.log = log
        self.salvagesTail = salvagesTail
        self.visit = visit
        files = log.catalog.files
    }

    mutating func run() throws(CommitLogError) -> OfflineTail {
        guard let first = files.first else {
            if !log.checkpoints.isEmpty {
                try note("wal", nil, "there are checkpoints, and no segment")
            }
            return tail
        }
        try begin(first)
        let missingCount = log.catalog.missingKept.count
        if missingCount > 0 { try visit(.unknownBytes(missingCount * Int(first.file.header.segmentBytes))) }
        for index in files.indices {
            let header = files[index].file.header
            try skipRetired(before: index)
            isSegmentWhole = files[index].hasHeader
            try visit(.segmentBegins(header, file: files[index].shown))
            try walk(index)
            try visit(.segmentEnds(header, isWhole: isSegmentWhole && gaps.isEmpty))
        }
        try settleTail()
        return tail
    }

    private mutating func begin(_ first: OfflineCatalog.File) throws(CommitLogError) {
        let position = first.file.header.position
        tail.position = position + Int(first.file.header.blockBytes)
        if let checkpoint = log.newestCheckpoint,
            !files.contains(where: { $0.file.header.position == checkpoint.anchor.segment })
        {
            let missing = "wal/\(DataDirectory.segmentName(checkpoint.anchor.segment))"
            try note(
                missing, checkpoint.anchor.segment,
                "the segment is missing where a checkpoint says that the log goes on")
        }
        if position == .zero {
            chain = .beginning
            return
        }
        guard let checkpoint = log.newestCheckpoint else {
            try note(
                first.shown, position, "it is the first segment, and no readable checkpoint says what was before it")
            return try visit(.unknownBytes(position - .zero))
        }
        if checkpoint.anchor.segment == position { chain = checkpoint.anchor.chain }
    }

    /// Between two segments before the newest checkpoint's anchor others may have been retired: what was in them is not
    /// known, and not missing. `begin` and the catalog have named those that are.
    private mutating func skipRetired(before index: Int) throws(CommitLogError) {
        guard index > 0, let checkpoint = log.catalog.checkpoint else { return }
        let position = files[index].file.header.position
        guard files[index - 1].file.limit < position, position <= checkpoint.anchor.segment else { return }
        // What is damaged at the end of the one before is settled as if the log ended there.
        for gap in gaps { _ = try salvage(gap, until: nil) }
        (gaps, firstMiss) = ([], nil)
        chain = checkpoint.anchor.segment == position ? checkpoint.anchor.chain : nil
    }

    /// Goes through one segment.
    private mutating func walk(_ index: Int) throws(CommitLogError) {
        let window = try SegmentWindow(files[index].file, log.fileSystem, toleratesUnreadable: true)
        let block = window.blockBytes
        var offset = block
        var missed = offset
        var dirty: Range<Int>?
        while let bytes = unsafe try window.prefix(at: offset, count: block) {
            if let batch = try batch(window, index, at: offset) {
                if let dirty { gaps.append(Gap(fileIndex: index, range: dirty, limit: offset)) }
                dirty = nil
                try settleGap(before: batch.header, index, offset)
                try take(batch, index, blockBytes: block)
                offset += batch.header.paddedBytes(blockBytes: block)
                missed = offset
                continue
            }
            if firstMiss == nil { firstMiss = (index, offset) }
            if unsafe !isZero(bytes) { dirty = missed..<offset + block }
            offset += block
        }
        if let dirty { gaps.append(Gap(fileIndex: index, range: dirty, limit: offset)) }
    }

    /// A whole batch of this store that stands in its own place and is none of an earlier life of the file.
    private func batch(
        _ window: SegmentWindow, _ index: Int, at offset: Int
    ) throws(CommitLogError) -> BatchView? {
        guard let head = unsafe try window.bytes(at: offset, count: BatchHeader.byteCount) else { return nil }
        let header: BatchHeader
        do throws(FormatError) { header = unsafe try BatchView.header(at: head) } catch { return nil }
        guard header.storeID == log.catalog.storeID, header.position == window.file.header.position + offset else {
            return nil
        }
        if let chain, header.number <= chain.number { return nil }
        guard let bytes = unsafe try window.bytes(at: offset, count: Int(header.byteCount)) else { return nil }
        do throws(FormatError) { return unsafe try BatchView(checking: bytes) } catch {
            if error.needsNewerVersion { throw .unsupported(file: files[index].shown, what: error.description) }
            return nil
        }
    }

    /// Gives out the frames of a whole batch.
    private mutating func take(
        _ found: BatchView, _ index: Int, blockBytes: Int
    ) throws(CommitLogError) {
        var batch = found
        let header = batch.header
        if let chain, header.number == chain.nextNumber,
            header.previousCRC != chain.crc || header.epoch < chain.epoch
        {
            try note(files[index].shown, header.position, "the batch here does not follow the one before it")
        }
        let end = header.position + Int(header.byteCount)
        var place = header.position + batch.nextFrameOffset
        while let frame = try next(&batch) {
            try visit(
                .frame(
                    frame,
                    FramePlace(
                        position: place, file: files[index].shown, batch: header.number,
                        batchBytes: Int(header.byteCount), batchEnd: end)))
            place = header.position + batch.nextFrameOffset
        }
        try visit(.batchEnds)
        chain = ChainState(after: header)
        tail.batchCount += 1
        tail.lastBatch = header.number
        tail.position = header.position + header.paddedBytes(blockBytes: blockBytes)
    }

    private func next(_ batch: inout BatchView) throws(CommitLogError) -> FrameView? {
        do throws(FormatError) { return try batch.nextFrame() } catch {
            preconditionFailure("a batch that was whole is not")
        }
    }

    /// Says what the stretch before a whole batch was, and saves of it what can be told apart.
    private mutating func settleGap(
        before header: BatchHeader, _ index: Int, _ offset: Int
    ) throws(CommitLogError) {
        defer { (gaps, firstMiss) = ([], nil) }
        let expected = chain?.nextNumber
        if header.number == expected || (expected == nil && gaps.isEmpty) {
            for gap in gaps {
                try note(
                    files[gap.fileIndex].shown, files[gap.fileIndex].file.header.position + gap.range.lowerBound,
                    "there are other bytes than zeros where nothing was written")
            }
            return
        }
        if gaps.isEmpty {
            let (missIndex, missOffset) = firstMiss ?? (index, offset)
            try note(
                files[missIndex].shown, files[missIndex].file.header.position + missOffset,
                "the batches from \(expected ?? .zero) to \(header.number.rawValue - 1) are gone")
        }
        var found = GapSalvage.Outcome()
        for gap in gaps {
            let outcome = try salvage(gap, until: header.number)
            found.batchCount += outcome.batchCount
            found.unknownBytes += outcome.unknownBytes
        }
        // Where not all are accounted for, the rest may have stood where zeros are now.
        if expected == nil || UInt64(found.batchCount) < header.number.rawValue - (expected?.rawValue ?? 0) {
            found.unknownBytes = max(found.unknownBytes, header.position - tail.position)
        }
        if found.unknownBytes > 0 { try visit(.unknownBytes(found.unknownBytes)) }
    }

    /// What stands behind the last whole batch: a torn one that was never acknowledged, or damage.
    private mutating func settleTail() throws(CommitLogError) {
        let through = log.checkpoints.compactMap { $0.checkpoint?.through }.max() ?? .zero
        guard let chain, through <= chain.number else {
            let (index, offset) = firstMiss ?? gaps.first.map { ($0.fileIndex, $0.range.lowerBound) } ?? tailPlace
            try note(
                files[index].shown, files[index].file.header.position + offset,
                "the batch expected here is gone or unreadable, and a checkpoint says that it was durable")
            for gap in gaps { _ = try salvage(gap, until: nil) }
            return try noteUnknownEnd()
        }
        tail.tornBytes = gaps.reduce(0) { $0 + $1.range.count }
        if salvagesTail { for gap in gaps { _ = try salvage(gap, until: nil) } }
        if !isEndThere { try noteUnknownEnd() }
    }

    private func noteUnknownEnd() throws(CommitLogError) {
        try visit(.unknownBytes(max(0, files[files.count - 1].file.limit - tail.position)))
    }

    /// Whether the files from the tail on are there in their full size: else batches may have stood in what is missing.
    private var isEndThere: Bool {
        let behind = files[min(tailPlace.0, files.count - 1)...]
        return behind.allSatisfy { $0.hasHeader && $0.hasSize }
            && zip(behind, behind.dropFirst()).allSatisfy { $0.file.limit == $1.file.header.position }
    }

    private var tailPlace: (Int, Int) {
        let index = files.lastIndex { $0.file.header.position <= tail.position } ?? 0
        return (index, tail.position - files[index].file.header.position)
    }

    private mutating func salvage(
        _ gap: Gap, until next: BatchNumber?
    ) throws(CommitLogError) -> GapSalvage.Outcome {
        isSegmentWhole = false
        let salvage = try GapSalvage(
            files[gap.fileIndex], log, expected: chain?.nextNumber, until: next, visit: visit)
        return try salvage.run(gap.range, limit: gap.limit)
    }

    private mutating func note(_ file: String, _ position: Position?, _ cause: String) throws(CommitLogError) {
        isSegmentWhole = false
        try visit(.damage(Damage(file: file, position: position, cause: cause)))
    }
}
