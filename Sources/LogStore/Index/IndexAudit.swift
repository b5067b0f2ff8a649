import LogFormat
import WriteAheadLog

/// Builds the index of a segment anew from its frames, to be compared with the file beside it.
public struct IndexAudit {
    private let segment: SegmentHeader
    private var entries: [LogID: [IndexEntry]] = [:]

    public init(_ segment: SegmentHeader) {
        self.segment = segment
    }

    /// Takes a frame of the segment, in the order of the positions.
    public mutating func take(_ view: FrameView, _ place: FramePlace) {
        let frame = view.header
        // What was damaged at the end of a segment is only known once the next one was looked into.
        guard place.position >= segment.position else { return }
        guard frame.kind == .append || view.lostRecords.map({ !$0.isEmpty }) ?? false else { return }
        let entry = IndexEntry(
            frame, frame: place.position, batchEnd: place.batchEnd, segment: segment.position)
        entries[frame.logID, default: []].take(entry)
    }

    /// What is wrong with the file, as a clause; nil if it is what the segment says. An index that was made anew leaves out
    /// the logs that were deleted before: `mayOmit` says which those may be.
    public func difference(
        from file: [UInt8], storeID: StoreID, mayOmit: (LogID) -> Bool = { _ in false }
    ) -> String? {
        let rows: [IndexFile.Row]
        do throws(FormatError) {
            rows = try IndexFile.rows(contents: file, storeID: storeID, segment: segment.position)
        } catch {
            if case .badLength = error { return "it is of another store, another segment or another length" }
            return error.description
        }
        let logs = rows.map { (log: $0.log, entries: entries[$0.log, default: []][...]) }
        let named = Set(rows.map(\.log))
        guard entries.keys.allSatisfy({ named.contains($0) || mayOmit($0) }), logs.allSatisfy({ !$0.entries.isEmpty })
        else {
            return "it does not name the logs that its segment holds"
        }
        let expected = IndexFile.encode(storeID: storeID, segment: segment.position, logs: logs).bytes
        return expected == file ? nil : "it does not say what its segment holds"
    }
}

extension [IndexEntry] {
    /// Adds a frame behind the others of its log.
    fileprivate mutating func take(_ entry: IndexEntry) {
        if !isEmpty, self[count - 1].takes(entry) { return }
        append(entry)
    }
}
