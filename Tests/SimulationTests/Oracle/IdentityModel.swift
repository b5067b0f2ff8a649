import CommitLog
import LogFormat

@testable import LogStore

/// What a request with a key was answered with.
struct KeyModel {
    /// The one of the log, or `.none` for a group's.
    let log: LogID
    let key: Int
    let variant: UInt64
    let answers: [AppendTicket]

    var timestamp: Timestamp { answers[0].timestamp }
}

/// A producer of a log, with all that it has sent.
struct ProducerModel {
    struct Sent {
        let epoch: UInt64
        let sequence: UInt64
        let answer: AppendTicket
    }

    var sent: [Sent] = []

    var lastUse: Timestamp { sent.last?.answer.timestamp ?? .zero }
}

/// Who has appended, in all logs, also in those that were deleted.
///
/// An identity whose time is over by any look at the clock so far may be known or not: a start finds again what was forgotten.
struct IdentityModel {
    struct Name: Hashable {
        let log: LogID
        let number: Int
    }

    let limits: IdentityLimits
    private var keys: [Name: KeyModel] = [:]
    private var producers: [Name: ProducerModel] = [:]

    init(_ limits: IdentityLimits) { self.limits = limits }

    func key(_ number: Int, in log: LogID) -> KeyModel? { keys[Name(log: log, number: number)] }
    func producer(_ number: Int, in log: LogID) -> ProducerModel? { producers[Name(log: log, number: number)] }

    mutating func note(_ key: KeyModel) { keys[Name(log: key.log, number: key.key)] = key }

    /// One that begins anew had been forgotten.
    mutating func note(_ sent: ProducerModel.Sent, of number: Int, in log: LogID) {
        let name = Name(log: log, number: number)
        if let last = producers[name]?.sent.last, (sent.epoch, sent.sequence) <= (last.epoch, last.sequence) {
            producers[name] = nil
        }
        producers[name, default: ProducerModel()].sent.append(sent)
    }

    // MARK: Time

    func mayBeForgotten(_ key: KeyModel, by latest: Timestamp, durable: BatchNumber) -> Bool {
        let end = key.timestamp.rawValue + UInt64(limits.keyWindowSeconds) * 1_000_000
        return end < latest.rawValue && key.answers[0].batch <= durable
    }

    func mayBeForgotten(_ producer: ProducerModel, by latest: Timestamp) -> Bool {
        producer.lastUse.rawValue + LogStoreLimits.producerIdleMicroseconds < latest.rawValue
    }

    // MARK: Room

    /// Whether one more key is taken: surely, surely not, or nil for perhaps.
    /// A start forgets those of deleted logs.
    func hasRoomForKey(by latest: Timestamp, durable: BatchNumber, logs: Set<LogID>) -> Bool? {
        if keys.count < limits.keysMax { return true }
        let sure = keys.values.count {
            ($0.log == .none || logs.contains($0.log)) && !mayBeForgotten($0, by: latest, durable: durable)
        }
        return sure >= limits.keysMax ? false : nil
    }

    /// Those of deleted logs are forgotten some time after the deletion.
    func hasRoomForProducer(by latest: Timestamp, logs: Set<LogID>) -> Bool? {
        if producers.count < limits.producersMax { return true }
        let sure = producers.count { logs.contains($0.key.log) && !mayBeForgotten($0.value, by: latest) }
        return sure >= limits.producersMax ? false : nil
    }
}
