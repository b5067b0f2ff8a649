import LogFormat

/// Which batch a reader begins at to find a record: a mark for the first batch of each segment, and in between one for
/// each so many bytes that this process wrote or replayed.
struct RecordIndex {
    /// Where the part of the stream that a segment holds begins.
    struct Segment: Equatable {
        let position: Position
        let first: RecordPosition
    }

    /// A batch, and where the stream stood before it.
    struct Mark: Equatable {
        let first: RecordPosition
        /// The position of the segment that it lies in.
        let segment: Position
        /// The position of its first byte in the write-ahead log.
        let batch: Position
    }

    /// Bytes of the write-ahead log between two marks of a segment, at least: a reader begins at most so far before its
    /// record, and the marks of 1 GiB take 100 KB.
    static let bytesBetweenMarks = 256 << 10

    /// In the order of their positions.
    private(set) var segments: [Segment] = []
    /// In the order of both positions; the first batch of each segment is among them.
    private var marks: [Mark] = []

    /// Takes note of a batch behind all others. `isFirst` says that it is the first one of its segment.
    mutating func add(_ mark: Mark, isFirst: Bool) {
        if let last = marks.last {
            precondition(last.batch < mark.batch, "a batch was noted out of order")
            if !isFirst && mark.batch - last.batch < Self.bytesBetweenMarks { return }
        }
        marks.append(mark)
        if isFirst { segments.append(Segment(position: mark.segment, first: mark.first)) }
    }

    /// The last batch with a mark that begins at or before a place of the stream, or the first one of all.
    func mark(before position: RecordPosition) -> Mark? {
        var low = 0
        var high = marks.count
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].first <= position { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? marks[low - 1] : marks.first
    }

    /// Whether the oldest segment holds nothing that lies at or behind this place of the stream.
    func hasDeadSegment(first: RecordPosition) -> Bool { segments.count > 1 && segments[1].first <= first }

    /// The segments that hold something at or behind this place of the stream, or may come to: all from some one on.
    func kept(first: RecordPosition) -> ArraySlice<Segment> {
        let dead = zip(segments, segments.dropFirst()).prefix { $1.first <= first }.count
        return segments.dropFirst(dead)
    }

    /// Forgets the segments that are gone, all before this one.
    mutating func forget(before segment: Position) {
        marks.removeAll { $0.segment < segment }
        segments.removeAll { $0.position < segment }
    }
}
