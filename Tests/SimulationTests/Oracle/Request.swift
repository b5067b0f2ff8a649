import CommitLog
import LogFormat

@testable import LogStore

/// What a client sends: an append, or one to several logs at once. It is kept, to be sent again.
struct Request {
    struct Part {
        /// The number of the name.
        let name: Int
        let records: [[UInt8]]
        var condition = AppendCondition.none
    }

    enum Identity {
        case none
        case producer(Int, epoch: UInt64, sequence: UInt64)
        /// The variant stands for the body.
        case key(Int, variant: UInt64)
    }

    var parts: [Part]
    var identity = Identity.none
    var isGroup = false
    /// The media type that an append gives to the log that it makes.
    var contentType: [UInt8]?

    static func name(_ log: Int) -> [UInt8] { Array("log-\(log)".utf8) }
    static func producer(_ number: Int) -> [UInt8] { Array("producer-\(number)".utf8) }
    static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }
    static func fingerprint(_ variant: UInt64) -> BodyFingerprint { BodyFingerprint(low: variant, high: 7) }

    var hasIdentity: Bool {
        if case .none = identity { return false }
        return true
    }
}

/// What became of a request, or should.
enum Outcome: Equatable {
    /// With the offsets, one for each part.
    case staged([AppendTicket])
    case repeated([AppendTicket])
    case refused(AppendRefusal, index: Int?)
    /// Not taken, and not for what the request says.
    case noRoom
    case tooLarge
    case pendingLimit

    init(_ outcome: StoreAppend) {
        switch outcome {
        case .staged(let ticket): self = .staged([ticket])
        case .repeated(let ticket): self = .repeated([ticket])
        case .refused(let refusal): self = .refused(refusal, index: 0)
        case .busy, .noSegment, .poisoned: self = .noRoom
        case .pendingLimit: self = .pendingLimit
        }
    }

    init(_ outcome: StoreGroupAppend) {
        switch outcome {
        case .staged(let tickets): self = .staged(tickets)
        case .repeated(let tickets): self = .repeated(tickets)
        case .refused(let refusal, let index): self = .refused(refusal, index: index)
        case .busy, .noSegment, .poisoned: self = .noRoom
        case .tooLarge: self = .tooLarge
        case .pendingLimit: self = .pendingLimit
        }
    }
}
