import LogFormat

// Where the records of the logs are.
extension LogTable {
    /// Whether a log has records in this segment, of which those are not counted that it appended while it is active.
    func isLive(_ segment: Position) -> Bool { extentCounts[segment] != nil }

    /// Adds a part that a log has in a segment. What was elsewhere before is there no more: of records that are in two
    /// segments, the later one's are the log's.
    mutating func add(_ extent: IndexExtent, to slot: LogSlot) {
        guard !self[slot].isDeleted else { return }
        let extents = self[slot].extents
        let start = extents.firstIndex(endingBehind: extent.first)
        var end = start
        while end < extents.count, extents[end].first < extent.end { end += 1 }
        var parts: [IndexExtent] = []
        if start < end {
            let before = extents[start].part(before: extent.first)
            // Not known better: nothing before it is younger.
            let timestamp = end < extents.count ? extents[end].timestamp : Timestamp(rawValue: .max)
            let after = extents[end - 1].part(from: extent.end, timestamp)
            parts = [before, extent, after].compactMap { $0 }
            if parts.count == 2, end - start == 1, extents[start].contains(extent) {
                parts[before == nil ? 1 : 0].payloadBytes =
                    extents[start].payloadBytes - min(extents[start].payloadBytes, extent.payloadBytes)
            }
        } else {
            parts.append(extent)
        }
        replaceExtents(of: slot, start..<end, by: parts)
        dropDeadExtents(of: slot)
    }

    /// Adds what a log appended in a segment that is sealed now. What was moved there stays what is read: a repaired copy has
    /// first said of it that it is lost.
    mutating func addAppended(_ extent: IndexExtent, to slot: LogSlot) {
        let moved = self[slot].extents.filter { $0.segment == extent.segment }
        add(extent, to: slot)
        for extent in moved { add(extent, to: slot) }
    }

    /// Adds records that were moved to the active segment.
    mutating func addMoved(_ extent: IndexExtent, to slot: LogSlot) {
        add(extent, to: slot)
        let index = self[slot].extents.firstIndex(endingBehind: extent.first)
        guard index > 0, index < self[slot].extents.count,
            let joined = self[slot].extents[index - 1].joined(with: self[slot].extents[index])
        else { return }
        replaceExtents(of: slot, index - 1..<index + 1, by: [joined])
    }

    /// Takes note of where the index file of a sealed segment has the entries of a run that was moved there.
    mutating func note(_ run: IndexExtent, of slot: LogSlot) {
        for index in self[slot].extents.indices {
            let extent = self[slot].extents[index]
            guard extent.segment == run.segment, run.first <= extent.first, extent.end <= run.end else { continue }
            self[slot].extents[index].blockStart = run.blockStart
            self[slot].extents[index].entryCount = run.entryCount
        }
    }

    /// Forgets the parts that end before the first record that is kept.
    mutating func dropDeadExtents(of slot: LogSlot) {
        replaceExtents(of: slot, 0..<self[slot].extents.firstIndex(endingBehind: self[slot].first), by: [])
    }

    mutating func replaceExtents(of slot: LogSlot, _ range: Range<Int>, by parts: [IndexExtent]) {
        for extent in parts { extentCounts[extent.segment, default: 0] += 1 }
        for extent in self[slot].extents[range] {
            let left = (extentCounts[extent.segment] ?? 0) - 1
            precondition(left >= 0, "an extent was dropped that was not counted")
            extentCounts[extent.segment] = left == 0 ? nil : left
        }
        self[slot].extents.replaceSubrange(range, with: parts)
    }

    /// Forgets the records of a log below an offset; returns how many there were, and about how many bytes they had.
    mutating func trim(_ slot: LogSlot, before offset: RecordOffset) -> (records: UInt64, bytes: UInt64) {
        let gone = self[slot].trim(before: offset)
        dropDeadExtents(of: slot)
        return gone
    }
}

extension [IndexExtent] {
    /// The first that holds something behind `offset`, or holds it; their count if none does.
    func firstIndex(endingBehind offset: RecordOffset) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension IndexExtent {
    /// About how many bytes of its frames are behind `offset`.
    func frameBytes(from offset: RecordOffset) -> UInt64 {
        offset <= first ? UInt64(frameBytes) : UInt64(share(UInt64(frameBytes), offset..<Swift.max(offset, end)))
    }

    fileprivate func contains(_ other: IndexExtent) -> Bool { first <= other.first && other.end <= end }

    /// What is left of it when a later segment has the records from `offset` on.
    fileprivate func part(before offset: RecordOffset) -> IndexExtent? {
        guard first < offset else { return nil }
        return part(first..<offset, timestamp)
    }

    /// What is left of it when a later segment has the records below `offset`.
    fileprivate func part(from offset: RecordOffset, _ timestamp: Timestamp) -> IndexExtent? {
        guard offset < end else { return nil }
        return part(offset..<end, timestamp)
    }

    private func part(_ range: Range<RecordOffset>, _ timestamp: Timestamp) -> IndexExtent {
        var part = self
        part.first = range.lowerBound
        part.end = range.upperBound
        part.timestamp = timestamp
        // It may be the smaller ones that are left.
        part.payloadBytes = 0
        part.frameBytes = UInt32(share(UInt64(frameBytes), range))
        return part
    }

    /// As if all records were equally large.
    private func share(_ bytes: UInt64, _ range: Range<RecordOffset>) -> UInt64 {
        let whole = end.rawValue - first.rawValue
        return UInt64(Double(bytes) * Double(range.upperBound.rawValue - range.lowerBound.rawValue) / Double(whole))
    }

    /// Both as one, if they follow each other in the same segment that has no index file yet.
    fileprivate func joined(with next: IndexExtent) -> IndexExtent? {
        guard segment == next.segment, end == next.first, entryCount == 0, next.entryCount == 0 else { return nil }
        var joined = self
        joined.end = next.end
        joined.payloadBytes &+= next.payloadBytes
        joined.frameBytes &+= next.frameBytes
        return joined
    }
}
