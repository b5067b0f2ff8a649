import LogFormat

/// Where the first record lies that is not older than a time: a binary search over the offsets of a log, whose timestamps never
/// go back. Each probe reads like any other read to the frame that holds an offset, which index entries lead to, so that it
/// looks at one window of the write-ahead log; about 30 probes find one record of a billion.
///
/// - Everything before `low` is older than the time.
/// - Nothing from `high` on is.
struct TimeSearch: Equatable {
    private(set) var low: RecordOffset
    private(set) var high: RecordOffset

    /// Nil where there is nothing to search.
    init?(from low: RecordOffset, to high: RecordOffset) {
        guard low < high else { return nil }
        self.low = low
        self.high = high
    }

    /// The offset to look at; once it is found, the one that was looked for.
    var probe: RecordOffset { low + (high - low) / 2 }

    var isFound: Bool { low == high }

    /// Takes the frame that holds the probe: all of its records are of one time.
    mutating func note(first: RecordOffset, end: RecordOffset, isOlder: Bool) {
        precondition(first <= probe && probe < end, "a probe found another record than it looked for")
        if isOlder { low = min(end, high) } else { high = max(first, low) }
    }

    /// The probe is of no use, since a repair lost its record: what is before it is looked at.
    mutating func noteLost() {
        high = probe
    }

    /// What is before `first` is no longer kept.
    mutating func noteTrim(_ first: RecordOffset) {
        low = max(low, first)
        high = max(high, low)
    }
}

extension RangeRead {
    /// Changes the search and moves on to its next probe, or to what it has found.
    func search(_ change: (inout TimeSearch) -> Void) {
        guard var search = timeSearch else { return }
        change(&search)
        timeSearch = search.isFound ? nil : search
        restart(at: search.probe)
    }
}
