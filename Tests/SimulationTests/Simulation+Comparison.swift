import LogFormat

@testable import CommitLog
@testable import LogStore

// What the store shows, beside what the oracle knows.
extension Simulation {
    /// What the store shows of a name.
    private func shown(_ name: Int) -> LogSummary? {
        Request.name(name).withUnsafeBytes { store!.slot(named: $0) }.map { store!.summary($0) }
    }

    /// Has the oracle take what a start shows.
    func recovered(mayLose: BatchNumber? = nil) throws -> Bool {
        // The one of this use: it may have been used before.
        let hasGroupKey = { (key: KeyModel) in
            let entry = Request.key(key.key).withUnsafeBytes { self.store!.keys.entry(of: $0, in: .none) }
            return entry?.timestamp == key.timestamp
        }
        return try history.recovered(
            (0..<history.nameCount).map(shown), began: store!.wal.durable.number, nextID: store!.nextID,
            hasGroupKey: hasGroupKey, mayLose: mayLose)
    }

    /// After each turn: the totals, and one log.
    func compareGlance() throws {
        let totals = store!.totals
        guard totals.records == history.durable.recordCount, totals.logs == history.durable.logCount else {
            throw Failure(
                description: "\(totals) are shown, and \(history.durable.recordCount) records are durable in "
                    + "\(history.durable.logCount) logs")
        }
        let name = seed.below(history.nameCount)
        if let difference = history.difference(history.durable, name, shown(name)) {
            throw Failure(description: difference)
        }
    }

    func compareAll() throws {
        let summaries = (0..<history.nameCount).map(shown)
        if let difference = history.difference(history.durable, summaries) { throw Failure(description: difference) }
        for name in 0..<history.nameCount { try compare(name) }
        // A read lets the loop turn.
        let logs = (0..<history.nameCount).compactMap(shown)
        let totals = store!.totals
        guard totals.records == logs.reduce(0, { $0 + $1.records }), totals.logs == logs.count,
            totals.bytes == logs.reduce(0, { $0 + $1.bytes })
        else { throw Failure(description: "the totals are \(totals), and there are \(logs)") }
        let list = store!.list(prefix: [], after: nil, limit: 1000).logs
        guard list == logs.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) else {
            throw Failure(description: "the list is \(list), and there are \(logs)")
        }
    }

    /// Reads a log from its first record to its last.
    func compare(_ name: Int) throws {
        while true {
            guard let slot = Request.name(name).withUnsafeBytes({ store!.slot(named: $0) }),
                let log = history.durable.logs[name]
            else { return }
            if log.first > 0 { try compareTrimmed(name, slot, log.first) }
            let shortReadCount = disk.shortReadCount
            if try compareOnce(name, slot, log) { return }
            // The client asks again where a read was cut short.
            guard disk.shortReadCount > shortReadCount else { return }
        }
    }

    /// Below the first record nothing is given.
    private func compareTrimmed(_ name: Int, _ slot: LogSlot, _ first: Int) throws {
        let sink = ComparingSink([], from: 0)
        let progress = store!.step(store!.beginRead(slot, from: RecordOffset(rawValue: UInt64(first) - 1)), into: sink)
        guard case .trimmed(let found) = progress, found.rawValue == UInt64(first), sink.failure == nil else {
            throw Failure(description: "log \(name): a read below its first record \(first) gives \(progress)")
        }
        tally[.trimmedReads] += 1
    }

    /// False where the read failed, and was allowed to.
    private func compareOnce(_ name: Int, _ slot: LogSlot, _ log: LogModel) throws -> Bool {
        let sink = ComparingSink(log.records, from: log.first)
        let read = store!.beginRead(slot, from: RecordOffset(rawValue: UInt64(log.first)))
        let shortReadCount = disk.shortReadCount
        while true {
            let progress = store!.step(read, into: sink)
            if let failure = sink.failure { throw Failure(description: "log \(name): \(failure)") }
            switch progress {
            case .finished:
                // Records that were trimmed away before it came to them end a read that has begun.
                if let now = history.durable.logs[name], now.id == log.id, sink.next > log.first, sink.next < now.first
                {
                    return true
                }
                guard sink.next == log.records.count, UInt64(sink.next) == read.tail.rawValue else {
                    throw Failure(
                        description: "log \(name): a read ends at \(sink.next), the log at \(log.records.count)")
                }
                return true
            case .waiting: while read.fetch != .none { try turn() }
            case .paused: continue
            case .trimmed(let first):
                // While it waited.
                guard let now = history.durable.logs[name], now.id == log.id, now.first > log.first,
                    first.rawValue == UInt64(now.first)
                else { throw Failure(description: "log \(name): a read finds all before \(first) trimmed") }
                return true
            case .gone:
                guard history.durable.logs[name]?.id != log.id else {
                    throw Failure(description: "log \(name): a read finds it deleted")
                }
                return true
            case .damaged(let position):
                guard isDamaged else { throw Failure(description: "log \(name): a read finds damage at \(position)") }
                tally[.damagedReads] += 1
                return false
            case .lost(let next):
                throw Failure(description: "log \(name): a read finds records lost up to \(next)")
            case .failed(let error):
                guard disk.isDead || disk.faultRate > 0 || disk.shortReadCount > shortReadCount else {
                    throw Failure(description: "log \(name): a read fails: \(error)")
                }
                return false
            }
        }
    }
}
