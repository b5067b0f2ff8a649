import LogFormat

/// Where a frame of a log lies: the first one of that log in its 64 KiB window of the segment; and how much of that log
/// begins in the window.
struct IndexEntry: Equatable, Sendable {
    /// The offset of the frame's first record.
    let offset: RecordOffset
    /// The frame's timestamp.
    let timestamp: Timestamp
    /// The frame's place, in bytes from the segment's first byte.
    let frame: UInt32
    /// Where the frames of its batch end, in bytes from the segment's first byte.
    let batchEnd: UInt32
    /// Bytes of the records in all frames of the log that begin in the window.
    var payloadBytes: UInt32
    /// Bytes of those frames, with their headers, fields and paddings.
    var frameBytes: UInt32

    /// The number of the window that the frame begins in.
    var window: Int { Int(frame) / LogStoreLimits.indexWindowBytes }

    /// Counts in a later frame of the same log if it begins in the same window; false if it does not.
    mutating func takes(_ later: IndexEntry) -> Bool {
        guard later.window == window else { return false }
        payloadBytes += later.payloadBytes
        frameBytes += later.frameBytes
        return true
    }
}

extension IndexEntry {
    /// The entry of one frame.
    init(_ header: FrameHeader, frame: Position, batchEnd: Position, segment: Position) {
        self.init(
            offset: header.firstOffset, timestamp: header.timestamp, frame: UInt32(frame - segment),
            batchEnd: UInt32(batchEnd - segment), payloadBytes: header.payloadBytes, frameBytes: header.byteCount)
    }
}

/// A log's part in a segment: what it appended in a sealed one, or what was moved to any.
struct IndexExtent: Equatable, Sendable {
    /// The position of the segment.
    let segment: Position
    /// The offsets of the records; some of the first may be below the first one that is kept.
    var first: RecordOffset
    var end: RecordOffset
    /// Of the first frame, or later, but not later than that of the next extent.
    var timestamp: Timestamp
    /// Bytes of its records in that segment; where some of them were moved, at least so many.
    var payloadBytes: UInt32
    /// Bytes of its frames; where some of them were moved, about so many.
    var frameBytes: UInt32
    /// Where its entries begin in the index file, in bytes; of the active segment there is none.
    var blockStart: UInt32 = 0
    var entryCount: UInt32 = 0
}

extension IndexExtent {
    /// What one frame says.
    init(segment: Position, _ entry: IndexEntry, end: RecordOffset) {
        self.init(
            segment: segment, first: entry.offset, end: end, timestamp: entry.timestamp,
            payloadBytes: entry.payloadBytes, frameBytes: entry.frameBytes)
    }
}

/// The sparse index of the segment that durable batches are being added to.
///
/// All entries of appended records stand in one array in the order of their positions; those of one log are chained
/// backwards. Records that were moved here are rare, and stand beside them.
struct ActiveIndex {
    private struct Link {
        let slot: LogSlot
        /// The entry of the same log before this one; -1 for none.
        let previous: Int32
        var entry: IndexEntry
        /// Behind the last record of the log that begins in the entry's window.
        var end: RecordOffset
    }

    /// The position of the segment.
    let segment: Position
    private var links: [Link] = []
    private var moved: [LogSlot: [IndexRun]] = [:]

    init(segment: Position) {
        self.segment = segment
    }

    /// Adds a frame: its bytes only, if its log has an entry for the same window already. `end` is the offset behind its
    /// last record, `last` the log's last entry, updated.
    mutating func add(_ slot: LogSlot, last: inout Int32, _ entry: IndexEntry, end: RecordOffset) {
        if last >= 0, links[Int(last)].entry.takes(entry) {
            links[Int(last)].end = end
            return
        }
        links.append(Link(slot: slot, previous: last, entry: entry, end: end))
        last = Int32(links.count - 1)
    }

    /// Adds a frame whose records were moved here.
    mutating func addMoved(_ slot: LogSlot, _ entry: IndexEntry, end: RecordOffset) {
        moved[slot, default: []].take(entry, end: end)
    }

    /// The entries of the moved records of a log from the one that covers `offset` on; empty if it was not moved here.
    func movedEntries(of slot: LogSlot, covering offset: RecordOffset) -> [IndexEntry] {
        moved[slot]?.entries(covering: offset) ?? []
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

    /// All entries of a log, in order. `last` is the log's last entry.
    func entries(last: Int32) -> [IndexEntry] {
        var found: [IndexEntry] = []
        var index = last
        while index >= 0 {
            found.append(links[Int(index)].entry)
            index = links[Int(index)].previous
        }
        return found.reversed()
    }

    /// What the index file of the sealed segment holds: the runs that were appended, and those that were moved.
    func runs() -> (appended: [(slot: LogSlot, run: IndexRun)], moved: [(slot: LogSlot, run: IndexRun)]) {
        let places = moved.sorted { $0.key.index < $1.key.index }
        return (appendedRuns(), places.flatMap { slot, runs in runs.map { (slot, $0) } })
    }

    /// The entries by log, each log's in order. Counted first, then put in their places: the loop stands still meanwhile,
    /// and there may be hundreds of thousands.
    private func appendedRuns() -> [(slot: LogSlot, run: IndexRun)] {
        guard let any = links.first else { return [] }
        // For each slot the count of its entries, then where they begin, and when they are in place where they end.
        var places = [Int](repeating: 0, count: 1 + links.reduce(0) { max($0, Int($1.slot.index)) })
        var lastLinks = [Int](repeating: 0, count: places.count)
        for (index, link) in links.enumerated() {
            places[Int(link.slot.index)] += 1
            lastLinks[Int(link.slot.index)] = index
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
        var runs: [(slot: LogSlot, run: IndexRun)] = []
        var start = 0
        for (slot, end) in places.enumerated() where end > start {
            let last = links[lastLinks[slot]]
            runs.append((last.slot, IndexRun(entries: entries[start..<end], end: last.end)))
            start = end
        }
        return runs
    }

    /// The entries of one log whose chain has ended already, from the one that covers `offset` on.
    func entries(of slot: LogSlot, covering offset: RecordOffset) -> [IndexEntry] {
        let moved = movedEntries(of: slot, covering: offset)
        if !moved.isEmpty { return moved }
        let entries = links.filter { $0.slot == slot }.map(\.entry)
        guard let covering = entries.lastIndex(where: { $0.offset <= offset }) else { return [] }
        return Array(entries[covering...])
    }
}
