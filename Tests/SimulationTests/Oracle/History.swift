import CommitLog
import LogFormat

@testable import LogStore

/// What a run has shown to be wrong.
struct Failure: Error, CustomStringConvertible {
    let description: String
}

/// Everything that was sent and acknowledged: what a store must show.
struct History {
    private struct Pending {
        let batch: BatchNumber
        let operation: Operation
    }

    /// What was acknowledged, or what a start has shown.
    private(set) var durable: StoreModel
    /// That and what is staged: what requests are judged by.
    private(set) var sequenced: StoreModel
    /// In the order in which they were staged; those of one process only.
    private var pending: [Pending] = []
    private(set) var acknowledgedCount = 0
    /// The last batch that is durable with changes, and what was before it, if that is kept.
    private var lastBatch = BatchNumber.zero
    private var beforeLast: StoreModel?
    private let keepsLast: Bool
    /// Batches up to it are of processes before this one.
    private(set) var processBegan = BatchNumber.zero
    /// The latest time at which a store has looked who may be forgotten.
    private(set) var latestLook = Timestamp.zero
    /// The last batch that was not acknowledged and that a start has found.
    private(set) var survivor: BatchNumber?

    init(nameCount: Int, keepsLast: Bool, identities: IdentityLimits) {
        durable = StoreModel(nameCount: nameCount, identities: identities)
        sequenced = durable
        self.keepsLast = keepsLast
    }

    var nameCount: Int { durable.logs.count }
    var pendingCount: Int { pending.count }

    mutating func look(at now: Timestamp) { latestLook = max(latestLook, now) }

    func mayBeForgotten(_ last: ProducerModel.Sent) -> Bool {
        sequenced.identities.mayBeForgotten(ProducerModel(sent: [last]), by: latestLook)
    }

    mutating func staged(_ operations: [Operation], in batch: BatchNumber) throws {
        guard batch > processBegan, batch >= (pending.last?.batch ?? .zero) else {
            throw Failure(description: "a request is staged in batch \(batch), which is over")
        }
        for operation in operations {
            sequenced.apply(operation, in: batch)
            pending.append(Pending(batch: batch, operation: operation))
        }
    }

    /// The requests in batches up to this one are acknowledged.
    mutating func acknowledge(through batch: BatchNumber) {
        let count = pending.prefix { $0.batch <= batch }.count
        for one in pending[..<count] {
            if one.batch != lastBatch {
                lastBatch = one.batch
                if keepsLast { beforeLast = durable }
            }
            durable.apply(one.operation, in: one.batch)
        }
        pending.removeFirst(count)
        acknowledgedCount += count
    }

    /// Takes what a start has shown of each name. It must have kept all that was acknowledged, and of the rest one batch
    /// wholly, or nothing. Returns true if it has lost the batch that it was allowed to lose.
    mutating func recovered(
        _ shown: [LogSummary?], began batch: BatchNumber, nextID: LogID, hasGroupKey: (KeyModel) -> Bool,
        mayLose: BatchNumber? = nil
    ) throws -> Bool {
        defer {
            pending = []
            sequenced = durable
            processBegan = batch
        }
        let candidate = pending.first?.batch
        let group = pending.first { $0.batch == candidate && $0.operation.groupKey != nil }?.operation.groupKey
        // Only the key can tell where the rest of a batch undid itself.
        let mustSurvive = group.map(hasGroupKey) ?? false
        // Where the batch undid itself, or one batch more would have undone it, only the ids that it gave out tell.
        if mayLose == lastBatch, nextID <= durable.highestID, let beforeLast,
            self.difference(beforeLast, shown) == nil
        {
            (durable, lastBatch) = (beforeLast, .zero)
            return true
        }
        let difference = difference(durable, shown)
        if difference == nil, !mustSurvive { return false }
        let (known, last, before) = (durable, lastBatch, beforeLast)
        if let candidate {
            acknowledge(through: candidate)
            survivor = candidate
            if self.difference(durable, shown) == nil { return false }
        }
        if mayLose == last, let before, self.difference(before, shown) == nil {
            (durable, lastBatch) = (before, .zero)
            return true
        }
        durable = known
        throw Failure(
            description: "neither what was acknowledged nor one batch more is there: \(difference ?? "a key")")
    }

    /// What is shown otherwise than a state has it; nil if all is equal.
    func difference(_ model: StoreModel, _ shown: [LogSummary?]) -> String? {
        for name in shown.indices {
            if let difference = difference(model, name, shown[name]) { return difference }
        }
        return nil
    }

    func difference(_ model: StoreModel, _ name: Int, _ shown: LogSummary?) -> String? {
        let expected = model.summary(name, bytes: shown?.bytes ?? 0)
        if expected == shown { return nil }
        return "log \(name) is \(Self.text(shown)), and should be \(Self.text(expected))"
    }

    private static func text(_ summary: LogSummary?) -> String {
        guard let summary else { return "not there" }
        return "\(summary.id) \(summary.first)..<\(summary.next), \(summary.bytes) bytes, of \(summary.created)"
            + "\(summary.isClosed ? ", closed" : ""), \(summary.settings)"
    }
}

extension Operation {
    fileprivate var groupKey: KeyModel? {
        if case .groupKey(let key) = self { return key }
        return nil
    }
}
