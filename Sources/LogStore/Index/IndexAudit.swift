import CommitLog
import LogFormat

/// Builds the index of a segment anew from its frames, to be compared with the file beside it.
public struct IndexAudit {
    private let segment: SegmentHeader
    private var appended: [LogID: IndexRun] = [:]
    private var moved: [LogID: [IndexRun]] = [:]

    public init(_ segment: SegmentHeader) {
        self.segment = segment
    }

    /// Takes a frame of the segment, in the order of the positions.
    public mutating func take(_ view: FrameView, _ place: FramePlace) {
        // What was damaged at the end of a segment is only known once the next one was looked into.
        guard place.position >= segment.position,
            let records = IndexedRecords(
                view, at: place.position, batchEnd: place.batchEnd, segment: segment.position)
        else { return }
        let log = view.header.logID
        if records.isMoved {
            moved[log, default: []].take(records.entry, end: records.end)
        } else {
            appended[log, default: IndexRun(entries: [], end: .zero)].append(records.entry, end: records.end)
        }
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
        let runs = rows.compactMap { row in run(of: row).map { (log: row.log, run: $0) } }
        let named = Set(rows.map(\.log))
        guard runs.count == rows.count, logs.allSatisfy({ named.contains($0) || mayOmit($0) }) else {
            return "it does not name the logs that its segment holds"
        }
        let expected = IndexFile.encode(storeID: storeID, segment: segment.position, runs: runs).bytes
        return expected == file ? nil : "it does not say what its segment holds"
    }

    private var logs: Set<LogID> { Set(appended.keys).union(moved.keys) }

    /// The run that a row is about.
    private func run(of row: IndexFile.Row) -> IndexRun? {
        let runs = (appended[row.log].map { [$0] } ?? []) + moved[row.log, default: []]
        return runs.first { $0.first == row.first && $0.end == row.end }
    }
}
