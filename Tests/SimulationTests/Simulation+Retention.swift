import LogFormat

@testable import CommitLog
@testable import LogStore

// What the store removes by itself, and what it forgets with time.
extension Simulation {
    /// The store's upkeep. Sometimes it is time to look at what retention lets go, and sometimes much time has passed.
    func tick() throws -> Int64? {
        if workload.isRich {
            if seed.once(in: 4) { store!.retention.nextPass = 0 }
            if seed.once(in: workload.leapRate) { clock.leap(seconds: seed.pick([2, 40, 40, 8 * 86_400])) }
        }
        let now = clock.now
        history.look(at: max(now, store!.lastTimestamp))
        let wait = store!.tick()
        for name in 0..<history.nameCount { try takeRetention(name, now: now) }
        return wait
    }

    /// Has the oracle take a trim that the store has staged, if it was allowed to.
    private func takeRetention(_ name: Int, now: Timestamp) throws {
        guard let log = history.sequenced.logs[name],
            let slot = Request.name(name).withUnsafeBytes({ store!.table.slot(named: $0) })
        else { return }
        let first = Int(store!.table[slot].sequencedFirst.rawValue)
        guard first > log.first else { return }
        guard let durable = history.durable.logs[name], durable.id == log.id else {
            throw Failure(description: "log \(name): retention trims a log that is not shown")
        }
        let limits = log.settings.retention
        let most = durable.retainedFrom(limits, now: now)
        guard first <= most else {
            throw Failure(
                description: "log \(name): retention trims before \(first), and \(limits) keeps all from \(most) on")
        }
        if let records = limits.records, durable.records.count - first > Int(records) {
            throw Failure(description: "log \(name): retention trims before \(first), and keeps more than \(records)")
        }
        try history.staged([.trim(name, before: first)], in: store!.table[slot].lastBatch)
        tally[.retained] += 1
        if limits.bytes != nil { tally[.retainedBytes] += 1 }
        if limits.ageSeconds != nil { tally[.retainedAges] += 1 }
    }
}

extension LogModel {
    /// The first offset that the limits must keep: what is below goes by one of them at least.
    func retainedFrom(_ limits: Retention, now: Timestamp) -> Int {
        var most = 0
        if let count = limits.records { most = max(most, records.count - Int(count)) }
        if let bytes = limits.bytes {
            var (start, kept) = (records.count, UInt64.zero)
            while start > 0, kept < bytes {
                start -= 1
                kept += UInt64(records[start].bytes.count)
            }
            most = max(most, start)
        }
        if let age = limits.ageSeconds {
            let cutoff = now.rawValue - age * 1_000_000
            most = max(most, records.firstIndex { $0.timestamp.rawValue >= cutoff } ?? records.count)
        }
        return most
    }
}
