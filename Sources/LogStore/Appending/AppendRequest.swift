import CommitLog
import LogFormat

/// What must be true of a log for an append to be taken.
public enum AppendCondition: Equatable, Sendable {
    case none
    /// The next record gets this offset, in the log of this id if one is named. The next offset of a log that is not there
    /// is 0.
    case next(RecordOffset, log: LogID?)
    /// The log is empty, or not there.
    case absent
}

/// By what a repeat of a request is recognised. The bytes are borrowed for the call.
@safe
public enum RequestIdentity {
    case none
    /// The numbering of a producer: each request one more than the one before, from 0 on in each epoch.
    case producer(id: UnsafeRawBufferPointer, epoch: UInt64, sequence: UInt64)
    case key(UnsafeRawBufferPointer, fingerprint: BodyFingerprint)

    var isGiven: Bool {
        if case .none = self { false } else { true }
    }

    /// Adds the fields by which a repeat is recognised after a restart.
    func write(to fields: inout FieldWriter) {
        switch self {
        case .none: return
        case .producer(let id, let epoch, let sequence):
            unsafe ProducerField(id: id, epoch: epoch, sequence: sequence).write(to: &fields)
        case .key(let key, let fingerprint):
            unsafe fields.append(.idempotencyKey, key)
            var digest = ByteWriter(reservingBytes: 16)
            digest.append(fingerprint.low)
            digest.append(fingerprint.high)
            fields.append(.bodyFingerprint, digest.bytes)
        }
    }
}

/// What an append says beside its records.
@safe
public struct AppendOptions {
    public var condition = AppendCondition.none
    public var identity = RequestIdentity.none
    /// The media type that the log gets if this append makes it.
    public var contentType: [UInt8]?

    public init() {}
}

/// What an append that was staged will be acknowledged with, once its batch is durable.
public struct AppendTicket: Equatable, Sendable {
    /// The batch to wait for; 0 if it was durable when the process began.
    public let batch: BatchNumber
    public let first: RecordOffset
    public let count: Int
    public let timestamp: Timestamp
}

/// Why an append or a change is not taken.
public struct AppendRefusal: Equatable, Sendable {
    public enum Cause: Equatable, Sendable {
        case logNotFound
        /// The condition does not hold. `log` is nil if there is no log.
        case conditionFailed(next: RecordOffset, log: LogID?)
        case logClosed(next: RecordOffset)
        /// A producer of that id goes on in this later epoch.
        case fenced(epoch: UInt64)
        case sequenceGap(expected: UInt64, received: UInt64)
        /// A repeat of a request that was answered longer ago than answers are kept.
        case duplicateForgotten
        /// The key was used with another body.
        case keyReused
        case keysFull(retryAfterSeconds: Int)
        case producersFull
        /// A trim to behind the tail.
        case trimBeyondTail(next: RecordOffset)
    }

    public let cause: Cause
    /// The batch that the refusal depends on: told only once that is durable.
    public let after: BatchNumber
}

/// What became of an append.
public enum StoreAppend: Equatable, Sendable {
    case staged(AppendTicket)
    /// The request was taken before: it gets the same answer, once that is durable.
    case repeated(AppendTicket)
    case refused(AppendRefusal)
    /// No room now; there will be after the next commit.
    case busy
    /// More than `pendingBytesMax` would be staged and in flight.
    case pendingLimit
    /// No further segment can be made.
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

/// One of the appends of a group.
public struct GroupAppend {
    /// A valid name.
    public let name: [UInt8]
    public let body: RecordBody
    public let condition: AppendCondition

    public init(name: [UInt8], body: RecordBody, condition: AppendCondition) {
        self.name = name
        self.body = body
        self.condition = condition
    }
}

/// What became of the appends of a group: all of them, or none. Tickets are in the order of the appends.
public enum StoreGroupAppend: Equatable, Sendable {
    case staged([AppendTicket])
    case repeated([AppendTicket])
    /// `index` is the append that was refused; nil if it is the group as a whole.
    case refused(AppendRefusal, index: Int?)
    case busy
    case pendingLimit
    /// Its frames are more than one batch holds.
    case tooLarge
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

/// What a change of a log that was staged waits for.
public struct ChangeTicket: Equatable, Sendable {
    public let batch: BatchNumber
    public let slot: LogSlot
    public let log: LogID
}

/// What became of a change of a log.
public enum StoreChange: Equatable, Sendable {
    case staged(ChangeTicket)
    /// It is so already, or will be when this batch is durable.
    case unchanged(after: BatchNumber)
    /// The log is there with other settings.
    case conflict(after: BatchNumber)
    case refused(AppendRefusal)
    case busy
    case pendingLimit
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

/// What can become of something that is to be staged, whatever else can.
protocol StagingOutcome {
    static var busy: Self { get }
    static func noSegment(_ error: FileError) -> Self
    static func poisoned(_ cause: PoisonCause) -> Self
}

extension StagingOutcome {
    /// Why the write-ahead log has no room.
    init(_ outcome: AppendOutcome) {
        switch outcome {
        case .busy: self = .busy
        case .noSegment(let error): self = .noSegment(error)
        case .poisoned(let cause): self = .poisoned(cause)
        case .staged: preconditionFailure("a refusal is not staged")
        }
    }
}

extension StoreAppend: StagingOutcome {}
extension StoreGroupAppend: StagingOutcome {}
extension StoreChange: StagingOutcome {}
