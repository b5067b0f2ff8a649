import LogFormat
import WriteAheadLog

/// What must be true of a log for an append to be taken.
public enum AppendCondition: Equatable, Sendable {
    case none
    /// The next record gets this offset, and the log has this id if one is given. A log that is not there has the next
    /// offset 0.
    case next(RecordOffset, log: LogID?)
    /// The log is not there or has never had a record.
    case absent
}

/// Why an append was refused.
public struct AppendRefusal: Equatable, Sendable {
    public enum Cause: Equatable, Sendable {
        case logNotFound
        /// `log` is nil where there is none of the name.
        case conditionFailed(next: RecordOffset, log: LogID?)
        case logClosed(next: RecordOffset)
        case fenced(epoch: UInt64)
        case sequenceGap(expected: UInt64, received: UInt64)
        case duplicateForgotten
        case keyReused
        case keysFull(retryAfterSeconds: Int)
        case producersFull
        case trimBeyondTail(next: RecordOffset)
    }

    public let cause: Cause
    /// The refusal rests on this batch, and is told when it is durable; zero for at once.
    public let after: BatchNumber

    public init(cause: Cause, after: BatchNumber) {
        self.cause = cause
        self.after = after
    }
}

extension LogStore {
    /// As a plain append, under a condition on the sequenced state.
    public func append(
        to name: UnsafeRawBufferPointer, _ body: RecordBody, _ options: AppendOptions
    ) -> StoreAppend {
        guard case .none = options.identity else { return .pendingLimit }
        let slot = unsafe table.slot(named: name)
        let tail = slot.map { LogTail(next: table[$0].sequencedNext, log: table[$0].id) } ?? .missing
        if let cause = tail.refusal(of: options.condition) {
            return .refused(AppendRefusal(cause: cause, after: slot.map(lastBatch) ?? .zero))
        }
        return unsafe append(to: name, body)
    }

    /// The batch that makes the log what it is sequenced to be; zero if it is that already.
    func lastBatch(of slot: LogSlot) -> BatchNumber {
        let state = table[slot]
        let isSettled = state.isDurable && state.sequencedNext == state.durableNext
        return isSettled ? .zero : pending.lastBatch(of: slot)
    }
}

/// Where the next record of a log goes.
struct LogTail: Equatable {
    var next: RecordOffset
    /// Nil for a log that is not there.
    var log: LogID?

    static let missing = LogTail(next: .zero, log: nil)

    /// Why the condition does not hold; nil if it does.
    func refusal(of condition: AppendCondition) -> AppendRefusal.Cause? {
        let holds =
            switch condition {
            case .none: true
            case .next(let next, let id): next == self.next && (id == nil || id == log)
            case .absent: next == .zero
            }
        return holds ? nil : .conditionFailed(next: next, log: log)
    }
}
