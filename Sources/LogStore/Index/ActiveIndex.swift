import LogFormat

/// Where a frame of a log lies: the first one of that log in its 64 KiB window of the segment.
struct IndexEntry: Equatable, Sendable {
    /// The offset of the frame's first record.
    let offset: RecordOffset
    /// The frame's place, in bytes from the segment's first byte.
    let frame: UInt32
    /// Where the frames of its batch end, in bytes from the segment's first byte.
    let batchEnd: UInt32

    /// The number of the window that the frame begins in.
    var window: Int { Int(frame) / LogStoreLimits.indexWindowBytes }
}

/// A log's part in a sealed segment.
struct IndexExtent: Equatable, Sendable {
    /// The position of the segment.
    let segment: Position
    /// The first offset of the log in that segment.
    let first: RecordOffset
    /// Where its entries begin in the index file, in bytes.
    let blockStart: UInt32
    let entryCount: UInt32
}

/// The sparse index of the segment that durable batches are being added to.
///
/// All entries stand in one array in the order of their positions; the entries of one log are chained backwards.
struct ActiveIndex {
    private struct Link {
        let slot: LogSlot
        /// The entry of the same log before this one; -1 for none.
        let previous: Int32
        let entry: IndexEntry
    }

    /// The position of the segment.
    let segment: Position
    private var links: [Link] = []

    init(segment: Position) {
        self.segment = segment
    }

    /// Adds a frame, unless its log has one in the same window already. `last` is the log's last entry, updated.
    mutating func add(_ slot: LogSlot, last: inout Int32, offset: RecordOffset, frame: Position, batchEnd: Position) {
        let entry = IndexEntry(
            offset: offset, frame: UInt32(frame - segment), batchEnd: UInt32(batchEnd - segment))
        if last >= 0, links[Int(last)].entry.window == entry.window { return }
        links.append(Link(slot: slot, previous: last, entry: entry))
        last = Int32(links.count - 1)
    }

    /// The entries of a log from the one that covers `offset` on, in order; empty if the log is not in this segment at
    /// or before it. `last` is the log's last entry.
    func entries(last: Int32, covering offset: RecordOffset) -> [IndexEntry] {
        var found: [IndexEntry] = []
        var index = last
        while index >= 0 {
            let link = links[Int(index)]
            found.append(link.entry)
            if link.entry.offset <= offset { return found.reversed() }
            index = link.previous
        }
        return []
    }

    /// The entries by log, each log's in order: what the index file of the sealed segment holds. Counted first, then put
    /// in their places: the loop stands still meanwhile, and there may be hundreds of thousands.
    func grouped() -> [(slot: LogSlot, entries: ArraySlice<IndexEntry>)] {
        guard let any = links.first else { return [] }
        // For each slot the count of its entries, then where they begin, and when they are in place where they end.
        var places = [Int](repeating: 0, count: 1 + links.reduce(0) { max($0, Int($1.slot.index)) })
        var slots = [LogSlot](repeating: any.slot, count: places.count)
        for link in links {
            places[Int(link.slot.index)] += 1
            slots[Int(link.slot.index)] = link.slot
        }
        var total = 0
        for slot in places.indices {
            let count = places[slot]
            places[slot] = total
            total += count
        }
        var entries = [IndexEntry](repeating: any.entry, count: links.count)
        for link in links {
            let slot = Int(link.slot.index)
            entries[places[slot]] = link.entry
            places[slot] += 1
        }
        var groups: [(slot: LogSlot, entries: ArraySlice<IndexEntry>)] = []
        var start = 0
        for (slot, end) in places.enumerated() where end > start {
            groups.append((slots[slot], entries[start..<end]))
            start = end
        }
        return groups
    }

    /// The entries of one log whose chain has ended already, from the one that covers `offset` on.
    func entries(of slot: LogSlot, covering offset: RecordOffset) -> [IndexEntry] {
        let entries = links.filter { $0.slot == slot }.map(\.entry)
        guard let covering = entries.lastIndex(where: { $0.offset <= offset }) else { return [] }
        return Array(entries[covering...])
    }
}
