import LogFormat

@testable import CommitLog
@testable import LogStore

// The life of logs beside their records.
extension Simulation {
    /// Changes a log; returns whether something was staged.
    func change(_ kind: Workload.Change, _ name: Int) throws -> Bool {
        if kind == .create { return try create(name, workload.settings(&seed)) }
        // A client knows the durable log; a caller may hold on to one that it has just made.
        let isNewest = seed.once(in: 2)
        let found = Request.name(name).withUnsafeBytes {
            isNewest ? store!.table.slot(named: $0) : store!.slot(named: $0)
        }
        let (durable, sequenced) = (history.durable.logs[name], history.sequenced.logs[name])
        let known = isNewest ? sequenced : durable
        guard found.map({ store!.table[$0].id }) == known?.id else {
            throw Failure(description: "log \(name): its slot is another log's")
        }
        guard let slot = found, let known else { return false }
        guard let log = sequenced, log.id == known.id else {
            return try expectGone(kind, name, slot)
        }
        switch kind {
        case .create: return false
        case .configure: return try configure(name, slot, log)
        case .close:
            let outcome = store!.close(slot)
            if log.isClosed { return try expectUnchanged(outcome, name) }
            return try take(outcome, name, .close(name), .closes)
        case .delete: return try take(store!.delete(slot), name, .delete(name), .deletes)
        case .trim: return try trim(name, slot, log)
        }
    }

    private func create(_ name: Int, _ settings: LogSettings) throws -> Bool {
        let outcome = Request.name(name).withUnsafeBytes { store!.create($0, settings) }
        guard let log = history.sequenced.logs[name] else {
            guard let ticket = try ticket(outcome, name) else { return false }
            try created(name, settings, store!.lastTimestamp, ticket.batch)
            tally[.creations] += 1
            return true
        }
        if log.settings == settings { return try expectUnchanged(outcome, name) }
        guard case .conflict(let after) = outcome else { throw wrong(outcome, name, "a conflict") }
        try compareAfter(log.lastBatch, after, "a conflict")
        tally[.conflicts] += 1
        return false
    }

    private func configure(_ name: Int, _ slot: LogSlot, _ log: LogModel) throws -> Bool {
        let settings = workload.settings(&seed)
        let outcome = store!.configure(slot, settings)
        if settings == log.settings { return try expectUnchanged(outcome, name) }
        return try take(outcome, name, .configure(name, settings), .configurations)
    }

    private func trim(_ name: Int, _ slot: LogSlot, _ log: LogModel) throws -> Bool {
        let count = log.records.count
        let offset = seed.once(in: 8) ? count + 1 : seed.once(in: 4) ? count : seed.below(count + 1)
        let outcome = store!.trim(slot, before: RecordOffset(rawValue: UInt64(offset)))
        if offset > count {
            let cause = AppendRefusal.Cause.trimBeyondTail(next: RecordOffset(rawValue: UInt64(count)))
            return try expect(cause, after: log.lastBatch, outcome, name, .trimsRefused)
        }
        if offset <= log.first { return try expectUnchanged(outcome, name) }
        return try take(outcome, name, .trim(name, before: offset), .trims)
    }

    // MARK: Outcomes

    private func take(_ outcome: StoreChange, _ name: Int, _ operation: Operation, _ event: Tally.Event) throws -> Bool
    {
        guard let ticket = try ticket(outcome, name) else { return false }
        try history.staged([operation], in: ticket.batch)
        tally[event] += 1
        return true
    }

    /// Nil where there was no room.
    private func ticket(_ outcome: StoreChange, _ name: Int) throws -> ChangeTicket? {
        switch outcome {
        case .staged(let ticket): return ticket
        case .busy, .noSegment, .poisoned: return nil
        case .unchanged, .conflict, .refused, .pendingLimit: throw wrong(outcome, name, "staged")
        }
    }

    private func expectUnchanged(_ outcome: StoreChange, _ name: Int) throws -> Bool {
        guard case .unchanged(let after) = outcome else { throw wrong(outcome, name, "unchanged") }
        try compareAfter(history.sequenced.lastBatches[name], after, "unchanged")
        tally[.unchanged] += 1
        return false
    }

    /// The log is shown to all, and its deletion is under way.
    private func expectGone(_ kind: Workload.Change, _ name: Int, _ slot: LogSlot) throws -> Bool {
        let outcome =
            switch kind {
            case .create, .configure: store!.configure(slot, workload.settings(&seed))
            case .close: store!.close(slot)
            case .delete: store!.delete(slot)
            case .trim: store!.trim(slot, before: .zero)
            }
        guard case .refused(let refusal) = outcome, refusal.cause == .logNotFound, refusal.after > lastDurable,
            refusal.after <= history.sequenced.lastBatches[name]
        else { throw wrong(outcome, name, "deleted") }
        tally[.changesOfDeleted] += 1
        return false
    }

    private func expect(
        _ cause: AppendRefusal.Cause, after: BatchNumber, _ outcome: StoreChange, _ name: Int, _ event: Tally.Event
    ) throws -> Bool {
        guard case .refused(let refusal) = outcome, refusal.cause == cause else {
            throw wrong(outcome, name, "\(cause)")
        }
        try compareAfter(after, refusal.after, "\(cause)")
        tally[event] += 1
        return false
    }

    private func wrong(_ outcome: StoreChange, _ name: Int, _ expected: String) -> Failure {
        Failure(description: "log \(name): a change is \(outcome), and should be \(expected)")
    }
}
