import LogFormat
import WriteAheadLog

/// One append of a group.
public struct GroupAppend {
    public let name: [UInt8]
    public let body: RecordBody
    public let condition: AppendCondition

    /// The name is valid; the body's bytes outlive the call that takes the group.
    public init(name: [UInt8], body: RecordBody, condition: AppendCondition) {
        self.name = name
        self.body = body
        self.condition = condition
    }
}

/// What became of a group of appends.
public enum StoreGroupAppend: Equatable, Sendable {
    /// In the order of the group, all in one batch.
    case staged([AppendTicket])
    case repeated([AppendTicket])
    /// Nothing of the group was staged; `index` is the append that was refused.
    case refused(AppendRefusal, index: Int?)
    /// It does not fit one batch.
    case tooLarge
    case busy
    case pendingLimit
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

extension LogStore {
    /// Stages all the appends, or none: their frames lie in one batch, which is there whole or not at all.
    public func append(group: [GroupAppend], identity: RequestIdentity) -> StoreGroupAppend {
        guard case .none = identity else { return .pendingLimit }
        let bytes: Int
        switch check(group) {
        case .refused(let refusal, let index): return .refused(refusal, index: index)
        case .fits(let needed): bytes = needed
        }
        guard BatchHeader.byteCount + bytes <= wal.configuration.batchBytesMax else { return .tooLarge }
        if let refusal = wal.refusal(frameBytes: bytes) { return StoreGroupAppend(refusal) }
        guard wal.pendingBytes + bytes <= configuration.pendingBytesMax else { return .pendingLimit }
        var tickets: [AppendTicket] = []
        tickets.reserveCapacity(group.count)
        for one in group {
            let outcome = unsafe one.name.withUnsafeBytes { unsafe append(to: $0, one.body) }
            guard case .staged(let ticket) = outcome else { preconditionFailure("a group that fitted was not staged") }
            tickets.append(ticket)
        }
        precondition(tickets.first?.batch == tickets.last?.batch, "a group lies in one batch")
        return .staged(tickets)
    }

    private enum Check {
        case fits(bytes: Int)
        case refused(AppendRefusal, index: Int)
    }

    /// Whether each condition holds when the appends before it are taken, and how many bytes all take.
    private func check(_ group: [GroupAppend]) -> Check {
        var tails: [[UInt8]: LogTail] = [:]
        var bytes = 0
        for (index, one) in group.enumerated() {
            let slot = unsafe one.name.withUnsafeBytes { unsafe table.slot(named: $0) }
            var tail =
                tails[one.name] ?? slot.map { LogTail(next: table[$0].sequencedNext, log: table[$0].id) } ?? .missing
            if slot == nil, tails[one.name] == nil {
                guard configuration.autoCreate else {
                    return .refused(AppendRefusal(cause: .logNotFound, after: .zero), index: index)
                }
                bytes += FrameHeader.frameBytes(
                    fieldsBytes: FieldWriter.bytes(ofValue: one.name.count), recordCount: 0, payloadBytes: 0)
            }
            if let cause = tail.refusal(of: one.condition) {
                return .refused(AppendRefusal(cause: cause, after: slot.map(lastBatch) ?? .zero), index: index)
            }
            tail.next = tail.next + one.body.recordCount
            tails[one.name] = tail
            bytes += FrameHeader.frameBytes(
                fieldsBytes: 0, recordCount: one.body.recordCount, payloadBytes: one.body.payloadBytes)
        }
        return .fits(bytes: bytes)
    }
}

extension StoreGroupAppend {
    init(_ outcome: AppendOutcome) {
        switch outcome {
        case .busy: self = .busy
        case .noSegment(let error): self = .noSegment(error)
        case .poisoned(let cause): self = .poisoned(cause)
        case .staged: preconditionFailure("a refusal is not staged")
        }
    }
}
