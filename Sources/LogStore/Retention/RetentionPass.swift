import LogFormat
import WriteAheadLog

/// Goes round all logs and trims those that hold more than their retention keeps, a few at a turn of the loop.
///
/// A trim is a frame like any other, so it survives a crash and a start never shows again what it removed. Numbers of records
/// are exact. Bytes and age go by the parts that the index tells apart (what a log has in a sealed segment, or in 64 KiB of the
/// active one): a part goes only when the limit holds without it. Of a part of the active segment as many of the first records
/// go as are beyond the limit of bytes, if all in that part were equally large.
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
    private func retainedFrom(_ slot: LogSlot, now: Timestamp) -> RecordOffset? {
        let state = table[slot]
        guard state.isShown, !state.isDeletedSequenced, let limits = state.settings?.settings.retention,
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
        return state.extents.map {
            RetentionPart(first: $0.first, timestamp: $0.timestamp, bytes: $0.payloadBytes, isSealed: true)
        }
            + active.map {
                RetentionPart(first: $0.offset, timestamp: $0.timestamp, bytes: $0.payloadBytes, isSealed: false)
            }
    }
}

/// A part of a log that retention can tell from the next one.
struct RetentionPart {
    let first: RecordOffset
    /// Of its first record.
    let timestamp: Timestamp
    /// Bytes of its records.
    let bytes: UInt32
    /// It is what the log has in a sealed segment: dropping some of it gives no space back.
    let isSealed: Bool

    /// About how many bytes the records from `start` to the end of the part have.
    func bytes(from start: RecordOffset, to end: RecordOffset) -> UInt64 {
        guard start > first, end > start else { return end > first && start <= first ? UInt64(bytes) : 0 }
        if isSealed { return UInt64(bytes) }
        return UInt64(bytes) * (end.rawValue - start.rawValue) / (end.rawValue - first.rawValue)
    }

    /// How many of the records have about so many bytes together, or somewhat more.
    func count(ofBytes excess: UInt64, to end: RecordOffset) -> Int {
        let records = end.rawValue - first.rawValue
        return bytes == 0 ? 0 : Int((excess * records + UInt64(bytes) - 1) / UInt64(bytes))
    }
}

extension [RetentionPart] {
    /// Where what bytes and age keep begins; the parts are those of the log, in order.
    func retainedFrom(_ limits: Retention, _ state: LogState, now: Timestamp) -> RecordOffset {
        var kept = state.first
        let ends = dropFirst().map(\.first) + [state.durableNext]
        var bytes = zip(self, ends).reduce(UInt64.zero) { $0 + $1.0.bytes(from: state.first, to: $1.1) }
        let cutoff = limits.ageSeconds.flatMap { age -> UInt64? in
            let (microseconds, isTooLong) = age.multipliedReportingOverflow(by: 1_000_000)
            return isTooLong || microseconds > now.rawValue ? nil : now.rawValue - microseconds
        }
        for (index, part) in enumerated() {
            let next = ends[index]
            let partBytes = part.bytes(from: state.first, to: next)
            // The records of a part are not younger than the first one of the next.
            let youngest = index + 1 < count ? self[index + 1].timestamp : state.lastAppend
            let isTooOld = cutoff.map { youngest.rawValue < $0 } ?? false
            let isTooMuch = limits.bytes.map { bytes - partBytes >= $0 } ?? false
            guard isTooOld || isTooMuch else {
                if let limit = limits.bytes, bytes > limit, !part.isSealed {
                    let start = Swift.max(part.first, state.first)
                    kept = Swift.max(kept, Swift.min(next, start + part.count(ofBytes: bytes - limit, to: next)))
                }
                break
            }
            bytes -= partBytes
            kept = Swift.max(kept, next)
        }
        return kept
    }
}
