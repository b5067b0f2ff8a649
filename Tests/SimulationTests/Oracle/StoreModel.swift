import CommitLog
import LogFormat

@testable import LogStore

/// One record that was sent.
struct SentRecord {
    let bytes: [UInt8]
    let timestamp: Timestamp
}

/// One log: what its name means until it is deleted.
struct LogModel {
    let id: LogID
    let created: Timestamp
    /// The first offset that is kept.
    var first = 0
    /// All there ever were, so that the index is the offset.
    var records: [SentRecord] = []
    var bytes: UInt64 = 0
    var isClosed = false
    var settings: LogSettings
    /// The batch of the last change.
    var lastBatch: BatchNumber

    var keptCount: UInt64 { UInt64(records.count - first) }
}

/// One thing that a durable batch makes true.
enum Operation {
    case create(Int, LogModel)
    case append(Int, [SentRecord], Request.Identity, AppendTicket)
    case groupKey(KeyModel)
    case configure(Int, LogSettings)
    case close(Int)
    case delete(Int)
    case trim(Int, before: Int)
}

/// Everything that a store holds, in the simplest form there is.
struct StoreModel {
    /// Durable answers of a producer that a repeat surely gets; more may be kept.
    let answersKept: Int
    /// By the number of the name.
    private(set) var logs: [LogModel?]
    private(set) var identities: IdentityModel
    /// Of each name the batch of the last change, and the last log that was deleted.
    private(set) var lastBatches: [BatchNumber]
    private(set) var deleted: [LogID]
    private(set) var logCount = 0
    /// Records that are kept, over all logs.
    private(set) var recordCount: UInt64 = 0
    private(set) var highestID = LogID.none
    private(set) var lastTimestamp = Timestamp.zero

    init(nameCount: Int, identities: IdentityLimits) {
        answersKept = identities.producerAnswersKept
        self.identities = IdentityModel(identities)
        logs = Array(repeating: nil, count: nameCount)
        lastBatches = Array(repeating: .zero, count: nameCount)
        deleted = Array(repeating: .none, count: nameCount)
    }

    /// What a producer has sent to the log of a name.
    func sent(by producer: Int, to name: Int) -> [ProducerModel.Sent] {
        logs[name].flatMap { identities.producer(producer, in: $0.id) }?.sent ?? []
    }

    /// The offset that the next record of a name gets.
    func next(_ name: Int) -> Int { logs[name]?.records.count ?? 0 }

    mutating func apply(_ operation: Operation, in batch: BatchNumber) {
        switch operation {
        case .create(let name, let log):
            logs[name] = log
            logCount += 1
            highestID = log.id
            lastTimestamp = max(lastTimestamp, log.created)
            touch(name, batch)
        case .append(let name, let records, let identity, let answer):
            append(name, records, identity, answer)
            touch(name, batch)
        case .groupKey(let key): identities.note(key)
        case .configure(let name, let settings):
            logs[name]!.settings = settings
            touch(name, batch)
        case .close(let name):
            logs[name]!.isClosed = true
            touch(name, batch)
        case .delete(let name):
            deleted[name] = logs[name]!.id
            logCount -= 1
            recordCount -= logs[name]!.keptCount
            logs[name] = nil
            lastBatches[name] = batch
        case .trim(let name, let offset):
            recordCount -= UInt64(offset - logs[name]!.first)
            logs[name]!.first = offset
            touch(name, batch)
        }
    }

    private mutating func touch(_ name: Int, _ batch: BatchNumber) {
        lastBatches[name] = batch
        logs[name]!.lastBatch = batch
    }

    private mutating func append(
        _ name: Int, _ records: [SentRecord], _ identity: Request.Identity, _ answer: AppendTicket
    ) {
        logs[name]!.records += records
        recordCount += UInt64(records.count)
        logs[name]!.bytes += records.reduce(0) { $0 + UInt64($1.bytes.count) }
        lastTimestamp = max(lastTimestamp, answer.timestamp)
        let log = logs[name]!.id
        switch identity {
        case .none: return
        case .producer(let id, let epoch, let sequence):
            identities.note(ProducerModel.Sent(epoch: epoch, sequence: sequence, answer: answer), of: id, in: log)
        case .key(let key, let variant):
            identities.note(KeyModel(log: log, key: key, variant: variant, answers: [answer]))
        }
    }

    /// What a store that holds this says of a name; nil if it has no log. `shown` gives the bytes where they are estimates.
    func summary(_ name: Int, bytes shown: UInt64) -> LogSummary? {
        guard let log = logs[name] else { return nil }
        let bytes = log.first == 0 ? log.bytes : log.keptCount == 0 ? 0 : shown
        return LogSummary(
            name: Request.name(name), id: log.id, first: RecordOffset(rawValue: UInt64(log.first)),
            next: RecordOffset(rawValue: UInt64(log.records.count)), bytes: bytes, created: log.created,
            isClosed: log.isClosed, settings: log.settings)
    }
}
