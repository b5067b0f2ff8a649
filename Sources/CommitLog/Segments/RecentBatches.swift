import LogFormat

/// The newest durable batches in memory, oldest evicted first, so that readers at the tail touch no disk.
///
/// A ring of bytes and a queue of what lies in it:
/// - the entries are in the order of their positions, and in the order in which they lie in the ring;
/// - no entry overlaps another, nor wraps around the end.
@safe
struct RecentBatches: ~Copyable {
    private struct Entry {
        let position: Position
        let offset: Int
        let byteCount: Int
    }

    private let region: UnsafeMutableRawBufferPointer
    private var entries: [Entry] = []
    /// The first entry that is still there; those before it are dropped in bulk.
    private var head = 0
    /// Where the next batch is written.
    private var cursor = 0

    init(capacityBytes: Int) {
        unsafe region = .allocate(byteCount: capacityBytes, alignment: 16)
    }

    deinit { unsafe region.deallocate() }

    /// Copies a durable batch (without its padding) in, in the place of the oldest.
    mutating func insert(_ bytes: UnsafeRawBufferPointer, at position: Position) {
        assert(head == entries.count || entries[entries.count - 1].position < position)
        guard unsafe bytes.count <= region.count else {
            head = entries.count
            cursor = 0
            return
        }
        if unsafe cursor + bytes.count > region.count {
            unsafe evict(cursor..<region.count)
            cursor = 0
        }
        let end = cursor + bytes.count
        evict(cursor..<end)
        unsafe UnsafeMutableRawBufferPointer(rebasing: region[cursor..<end]).copyMemory(from: bytes)
        entries.append(Entry(position: position, offset: cursor, byteCount: bytes.count))
        cursor = end
    }

    /// The bytes of the batch that this position lies in, and where that batch begins; nil if it is not in memory.
    /// They stay valid until the next insert.
    func batch(containing position: Position) -> (start: Position, bytes: UnsafeRawBufferPointer)? {
        var low = head
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].position <= position { low = middle + 1 } else { high = middle }
        }
        guard low > head else { return nil }
        let entry = entries[low - 1]
        guard position - entry.position < entry.byteCount else { return nil }
        return unsafe (
            entry.position,
            UnsafeRawBufferPointer(rebasing: region[entry.offset..<entry.offset + entry.byteCount])
        )
    }

    /// Forgets the oldest entries as long as they begin in this part of the ring.
    private mutating func evict(_ part: Range<Int>) {
        while head < entries.count, part.contains(entries[head].offset) { head += 1 }
        if head > 1024 && head > entries.count / 2 {
            entries.removeFirst(head)
            head = 0
        }
    }
}
