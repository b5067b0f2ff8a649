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

/// A log's part in a sealed segment.
struct IndexExtent: Equatable, Sendable {
    /// The position of the segment.
    let segment: Position
    /// The first offset of the log in that segment.
    let first: RecordOffset
    /// The timestamp of its first frame in that segment.
    let timestamp: Timestamp
    /// Bytes of its records in that segment, and of its frames.
    let payloadBytes: UInt32
    let frameBytes: UInt32
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
        var entry: IndexEntry
    }

    /// The position of the segment.
    let segment: Position
    private var links: [Link] = []

    init(segment: Position) {
        self.segment = segment
    }

    /// Adds a frame: its bytes only, if its log has an entry for the same window already. `last` is the log's last entry,
    /// updated.
    mutating func add(_ slot: LogSlot, last: inout Int32, _ entry: IndexEntry) {
        if last >= 0, links[Int(last)].entry.takes(entry) { return }
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
