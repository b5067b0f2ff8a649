import LogFormat

/// Records of one log in one segment whose offsets, and frames, follow each other.
struct IndexRun: Equatable, Sendable {
    /// One at least, as soon as it has a frame.
    var entries: ArraySlice<IndexEntry>
    /// The offset behind the last record.
    var end: RecordOffset

    var first: RecordOffset { entries[entries.startIndex].offset }

    /// Adds a frame behind the last one.
    mutating func append(_ entry: IndexEntry, end: RecordOffset) {
        self.end = end
        if !entries.isEmpty, entries[entries.endIndex - 1].takes(entry) { return }
        entries.append(entry)
    }

    /// The entries from the one that covers `offset` on; empty if the run does not hold it.
    func entries(covering offset: RecordOffset) -> [IndexEntry] {
        guard offset < end, let covering = entries.lastIndex(where: { $0.offset <= offset }) else { return [] }
        return Array(entries[covering...])
    }
}

extension [IndexRun] {
    /// Adds a frame whose records were moved: behind the run that it goes on with, or as a run of its own.
    mutating func take(_ entry: IndexEntry, end: RecordOffset) {
        if let index = lastIndex(where: { $0.end == entry.offset }) { return self[index].append(entry, end: end) }
        append(IndexRun(entries: [entry], end: end))
    }

    /// The entries of the newest run that holds `offset`, from the one that covers it on; empty if none does.
    func entries(covering offset: RecordOffset) -> [IndexEntry] {
        last { $0.first <= offset && offset < $0.end }?.entries(covering: offset) ?? []
    }
}

/// The records that a frame holds, or says were lost.
struct IndexedRecords {
    let entry: IndexEntry
    let end: RecordOffset
    /// They were appended elsewhere.
    let isMoved: Bool

    /// Nil for a frame that the index leaves out.
    init?(_ frame: FrameView, at position: Position, batchEnd: Position, segment: Position) {
        let header = frame.header
        switch header.kind {
        case .append, .moved:
            guard header.recordCount > 0 else { return nil }
            end = header.firstOffset + Int(header.recordCount)
        case .lost:
            // They are found where they would be, so that nothing else is taken for them.
            guard let lost = frame.lostRecords, !lost.isEmpty else { return nil }
            end = lost.upperBound
        case .create, .configure, .close, .delete, .trim, .seal, .epoch: return nil
        }
        entry = IndexEntry(header, frame: position, batchEnd: batchEnd, segment: segment)
        isMoved = header.kind == .moved
    }
}
