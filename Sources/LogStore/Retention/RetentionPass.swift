import CommitLog
import LogFormat

/// Goes round all logs and trims those that hold more than their retention keeps, a few at a turn of the loop.
///
/// A trim is a frame like any other, so it survives a crash and a start never shows again what it removed. Numbers of records
/// are exact. Bytes and age go by the parts that the index tells apart (what a log has in a sealed segment, or in 64 KiB of the
/// active one): a part goes only when the limit holds without it, so that never more goes than was asked for.
struct RetentionPass {
    /// The log that is looked at next; nil between two passes.
    var nextSlot: Int32?
    /// When the next pass begins.
    var nextPass: Int64 = 0
}

extension LogStore {
    /// Stages some of the trims that retention asks for.
    func stageRetention() {
        guard let start = beginRetention() else { return }
        let end = min(Int32(table.count), start + Int32(LogStoreLimits.retentionLogsPerTurn))
        let now = clock.now
        var staged = 0
        var index = start
        while index < end && staged < LogStoreLimits.retentionTrimsPerTurn {
            let slot = table.slot(at: index)
            if let offset = retainedFrom(slot, now: now) {
                guard case .staged = trim(slot, before: offset) else { break }
                staged += 1
            }
            index += 1
        }
        retention.nextSlot = index < Int32(table.count) ? index : nil
    }

    /// The log at which a turn begins; nil if it is not the time.
    private func beginRetention() -> Int32? {
        if let slot = retention.nextSlot { return slot }
        let now = clock.monotonicMicroseconds
        guard now >= retention.nextPass else { return nil }
        retention.nextPass = now + LogStoreLimits.retentionMicroseconds
        return 0
    }

    /// The first offset that a log's retention keeps; nil if that is what is kept already, or will be.
    ///
    /// The records are those that are durable; the limits those of the last change, durable or not: the trim stands behind it.
    private func retainedFrom(_ slot: LogSlot, now: Timestamp) -> RecordOffset? {
        let state = table[slot]
        guard state.isShown, !state.isDeletedSequenced, let limits = state.settingsSequenced?.settings.retention,
            !limits.isEmpty, state.first < state.durableNext
        else { return nil }
        var kept = state.first
        if let records = limits.records, state.durableNext.rawValue - state.first.rawValue > records {
            kept = RecordOffset(rawValue: state.durableNext.rawValue - records)
        }
        if limits.bytes != nil || limits.ageSeconds != nil {
            kept = max(kept, parts(of: state).retainedFrom(limits, state, now: now))
        }
        return kept > state.sequencedFirst ? kept : nil
    }

    private func parts(of state: LogState) -> [RetentionPart] {
        let active = activeIndex.entries(last: state.lastActiveEntry)
        return state.extents.map { RetentionPart(first: $0.first, timestamp: $0.timestamp, bytes: $0.payloadBytes) }
            + active.map { RetentionPart(first: $0.offset, timestamp: $0.timestamp, bytes: $0.payloadBytes) }
    }
}

/// A part of a log that retention can tell from the next one.
struct RetentionPart {
    let first: RecordOffset
    /// Of its first record, or later, but not later than that of the next part.
    let timestamp: Timestamp
    /// Bytes of its records; some of them may be trimmed already. Never more than they are.
    let bytes: UInt32
}

extension [RetentionPart] {
    /// Where what bytes and age keep begins; the parts are those of the log, in order.
    func retainedFrom(_ limits: Retention, _ state: LogState, now: Timestamp) -> RecordOffset {
        let cutoff = limits.ageSeconds.flatMap { age -> UInt64? in
            let (microseconds, isTooLong) = age.multipliedReportingOverflow(by: 1_000_000)
            return isTooLong || microseconds > now.rawValue ? nil : now.rawValue - microseconds
        }
        var kept = state.first
        // Of the parts behind the one that is looked at: all of their records are kept.
        var bytesBehind = reduce(UInt64.zero) { $0 + UInt64($1.bytes) }
        for (index, (part, youngest)) in zip(self, youngest(lastAppend: state.lastAppend)).enumerated() {
            let next = index + 1 < count ? self[index + 1] : nil
            bytesBehind -= UInt64(part.bytes)
            let isTooOld = cutoff.map { youngest.rawValue < $0 } ?? false
            let isTooMuch = limits.bytes.map { bytesBehind >= $0 } ?? false
            guard isTooOld || isTooMuch else { break }
            kept = Swift.max(kept, next?.first ?? state.durableNext)
        }
        return kept
    }

    /// For each part a time that none of its records is younger than: the first of any later part is not older, as far as it is
    /// known.
    private func youngest(lastAppend: Timestamp) -> [Timestamp] {
        var earliest = lastAppend
        return reversed().map { part in
            defer { earliest = Swift.min(earliest, part.timestamp) }
            return earliest
        }.reversed()
    }
}
