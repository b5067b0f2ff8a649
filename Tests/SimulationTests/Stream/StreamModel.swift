import LogFormat

@testable import WriteAheadLog

/// What a stream of records must be: everything that was accepted in its order, of which so much is acknowledged.
struct StreamModel {
    /// What was accepted: records that are there together, or a cut of the front.
    enum Change {
        case append([[UInt8]], at: RecordPosition)
        case truncate(RecordPosition)
    }

    private var changes: [(change: Change, batch: BatchNumber)] = []
    /// So many of the first are acknowledged: they outlive everything.
    private(set) var acknowledgedCount = 0
    private(set) var acknowledgedRecordCount = 0
    private(set) var longestLoss = 0

    var pendingCount: Int { changes.count - acknowledgedCount }

    mutating func accept(_ change: Change, in batch: BatchNumber) { changes.append((change, batch)) }

    mutating func acknowledge(through batch: BatchNumber) {
        while acknowledgedCount < changes.count, changes[acknowledgedCount].batch <= batch {
            if case .append(let records, _) = changes[acknowledgedCount].change {
                acknowledgedRecordCount += records.count
            }
            acknowledgedCount += 1
        }
    }

    /// The stream behind so many changes.
    func range(_ count: Int) -> Range<RecordPosition> {
        var first = RecordPosition.zero
        var next = RecordPosition.zero
        for (change, _) in changes[..<count] {
            switch change {
            case .append(let records, let position):
                precondition(position == next, "the model has a hole")
                next = next.advanced(records: records.count, bytes: records.reduce(0) { $0 + $1.count })
            case .truncate(let place): first = max(first, place)
            }
        }
        return first..<next
    }

    /// The acknowledged stream.
    var durable: Range<RecordPosition> { range(acknowledgedCount) }

    /// Finds out which changes outlived a crash, by what is there: all that were acknowledged, and of the others none that
    /// comes behind one that is missing. From now on these are true. False if there is no such number of changes.
    mutating func survive(as found: Range<RecordPosition>) -> Bool {
        for count in acknowledgedCount...changes.count where range(count) == found {
            longestLoss = max(longestLoss, changes.count - count)
            changes.removeSubrange(count...)
            for index in changes.indices { changes[index].batch = .zero }
            acknowledge(through: .zero)
            return true
        }
        return false
    }

    /// The acknowledged records that are kept, with their places.
    var records: [(RecordPosition, [UInt8])] {
        let first = durable.lowerBound
        var found: [(RecordPosition, [UInt8])] = []
        for (change, _) in changes[..<acknowledgedCount] {
            guard case .append(let records, var position) = change else { continue }
            for record in records {
                if position >= first { found.append((position, record)) }
                position = position.advanced(records: 1, bytes: record.count)
            }
        }
        return found
    }
}
