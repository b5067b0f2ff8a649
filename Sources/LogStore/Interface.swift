import LogFormat
import WriteAheadLog

// The interface of the life of logs, of producers, keys and conditions, until the store implements it: everything is
// refused as if too much were pending.

public enum AppendCondition: Equatable, Sendable {
    case none
    case next(RecordOffset, log: LogID?)
    case absent
}

public struct BodyFingerprint: Equatable, Sendable {
    public init(_ body: UnsafeRawBufferPointer) {}
}

@safe
public enum RequestIdentity {
    case none
    case producer(id: UnsafeRawBufferPointer, epoch: UInt64, sequence: UInt64)
    case key(UnsafeRawBufferPointer, fingerprint: BodyFingerprint)
}

@safe
public struct AppendOptions {
    public var condition = AppendCondition.none
    public var identity = RequestIdentity.none
    public var contentType: [UInt8]?

    public init() {}
}

public struct AppendRefusal: Equatable, Sendable {
    public let cause: Cause
    public let after: BatchNumber

    public enum Cause: Equatable, Sendable {
        case logNotFound
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
}

public struct Retention: Equatable, Sendable {
    public var ageSeconds: UInt64?
    public var bytes: UInt64?
    public var records: UInt64?

    public init(ageSeconds: UInt64? = nil, bytes: UInt64? = nil, records: UInt64? = nil) {
        self.ageSeconds = ageSeconds
        self.bytes = bytes
        self.records = records
    }
}

public struct LogSettings: Equatable, Sendable {
    public var contentType: [UInt8]?
    public var retention: Retention
    public var appendsPerSecondMax: UInt64?

    public init(
        contentType: [UInt8]? = nil, retention: Retention = Retention(), appendsPerSecondMax: UInt64? = nil
    ) {
        self.contentType = contentType
        self.retention = retention
        self.appendsPerSecondMax = appendsPerSecondMax
    }
}

public struct ChangeTicket: Equatable, Sendable {
    public let batch: BatchNumber
    public let slot: LogSlot
    public let log: LogID
}

public enum StoreChange: Equatable, Sendable {
    case staged(ChangeTicket)
    case unchanged(after: BatchNumber)
    case conflict(after: BatchNumber)
    case refused(AppendRefusal)
    case busy
    case pendingLimit
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

public struct GroupAppend {
    public let name: [UInt8]
    public let body: RecordBody
    public let condition: AppendCondition

    public init(name: [UInt8], body: RecordBody, condition: AppendCondition) {
        self.name = name
        self.body = body
        self.condition = condition
    }
}

public enum StoreGroupAppend: Equatable, Sendable {
    case staged([AppendTicket])
    case repeated([AppendTicket])
    case refused(AppendRefusal, index: Int?)
    case tooLarge
    case busy
    case pendingLimit
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

extension LogStore {
    public func append(
        to name: UnsafeRawBufferPointer, _ body: RecordBody, _ options: AppendOptions
    ) -> StoreAppend { .pendingLimit }

    public func append(group: [GroupAppend], identity: RequestIdentity) -> StoreGroupAppend { .pendingLimit }
    public func create(_ name: UnsafeRawBufferPointer, _ settings: LogSettings) -> StoreChange { .pendingLimit }
    public func configure(_ slot: LogSlot, _ settings: LogSettings) -> StoreChange { .pendingLimit }
    public func close(_ slot: LogSlot) -> StoreChange { .pendingLimit }
    public func delete(_ slot: LogSlot) -> StoreChange { .pendingLimit }
    public func trim(_ slot: LogSlot, before: RecordOffset) -> StoreChange { .pendingLimit }

    /// The rate limit of a log that has one.
    public func rateLimit(of name: UnsafeRawBufferPointer) -> (log: LogID, perSecond: UInt64)? { nil }
}

extension LogSummary {
    public var isClosed: Bool { false }
    public var settings: LogSettings { LogSettings() }
}
