import HTTPFrontEnd
import LogFormat
import LogStore

/// Why the headers of an append contradict the contract; a sentence for the client.
struct InvalidAppendHeaders: Error, Equatable {
    let detail: String
}

/// What the rarer headers of an append say: its condition, and what a repeat of it is known by.
@safe
struct AppendHeaders {
    /// How a repeat of the request is known.
    @safe
    enum Identity {
        case none
        case producer(id: UnsafeRawBufferPointer, epoch: UInt64, sequence: UInt64)
        case key(UnsafeRawBufferPointer)
    }

    let condition: AppendCondition
    let identity: Identity

    /// Reads them; nothing is looked for that the front end has not seen. What they point to lies in the request.
    init(_ exchange: Exchange) throws(InvalidAppendHeaders) {
        let noted = exchange.notedHeaders
        guard exchange.repeatedHeaders.isEmpty else {
            throw InvalidAppendHeaders(
                detail: "If-Match, If-None-Match, Idempotency-Key and each Producer- header may be there once only.")
        }
        condition = try Self.condition(exchange, noted)
        identity = try Self.identity(exchange, noted)
    }

    /// Reads those of a batch.
    init(ofBatch exchange: Exchange) throws(InvalidAppendHeaders) {
        guard exchange.notedHeaders.isSubset(of: .idempotencyKey) else {
            throw InvalidAppendHeaders(
                detail: "A batch takes one Idempotency-Key; conditions stand in its body, and it has no producer.")
        }
        try self.init(exchange)
    }

    private static func condition(
        _ exchange: Exchange, _ noted: NotedHeaders
    ) throws(InvalidAppendHeaders) -> AppendCondition {
        guard !noted.isSuperset(of: [.ifMatch, .ifNoneMatch]) else {
            throw InvalidAppendHeaders(detail: "An append has If-Match or If-None-Match, not both.")
        }
        if noted.contains(.ifNoneMatch) {
            guard let value = unsafe exchange.header("If-None-Match"), unsafe value.elementsEqual("*".utf8) else {
                throw InvalidAppendHeaders(detail: "The If-None-Match of an append is *: the log has no records yet.")
            }
            return .absent
        }
        guard noted.contains(.ifMatch) else { return .none }
        guard let value = unsafe exchange.header("If-Match"), let condition = unsafe AppendCondition(entityTag: value)
        else {
            throw InvalidAppendHeaders(
                detail:
                    "The If-Match of an append is the log's next offset in quotes, \"42\", or with the log's id before it, "
                    + "\"7.42\".")
        }
        return condition
    }

    private static func identity(_ exchange: Exchange, _ noted: NotedHeaders) throws(InvalidAppendHeaders) -> Identity {
        let producer = noted.intersection(.producer)
        if noted.contains(.idempotencyKey) {
            guard producer.isEmpty else {
                throw InvalidAppendHeaders(detail: "An append has an Idempotency-Key or a producer, not both.")
            }
            return unsafe .key(try name(in: exchange, "Idempotency-Key"))
        }
        if producer.isEmpty { return .none }
        guard producer == .producer else {
            throw InvalidAppendHeaders(
                detail: "Producer-Id, Producer-Epoch and Producer-Seq are there all three or not at all.")
        }
        return unsafe .producer(
            id: try name(in: exchange, "Producer-Id"), epoch: try number(in: exchange, "Producer-Epoch"),
            sequence: try number(in: exchange, "Producer-Seq"))
    }

    /// The value of a header that names something.
    private static func name(
        in exchange: Exchange, _ header: StaticString
    ) throws(InvalidAppendHeaders) -> UnsafeRawBufferPointer {
        guard let value = unsafe exchange.header(header), unsafe isName(value) else {
            throw InvalidAppendHeaders(
                detail: "\(header) has 1 to \(ServiceLimits.identityBytesMax) bytes of visible ASCII, without spaces.")
        }
        return unsafe value
    }

    static func isName(_ value: UnsafeRawBufferPointer) -> Bool {
        guard (1...ServiceLimits.identityBytesMax).contains(value.count) else { return false }
        return unsafe value.allSatisfy { (0x21...0x7E).contains($0) }
    }

    private static func number(
        in exchange: Exchange, _ header: StaticString
    ) throws(InvalidAppendHeaders) -> UInt64 {
        guard let value = unsafe exchange.header(header), let number = unsafe DecimalNumber.parse(value),
            number <= ServiceLimits.producerNumberMax
        else {
            throw InvalidAppendHeaders(
                detail: "\(header) is a decimal number from 0 to \(ServiceLimits.producerNumberMax).")
        }
        return number
    }
}

extension AppendCondition {
    /// `42` or `7.42`: the next offset, or the log's id and the next offset. Nil for anything else.
    init?(tag: UnsafeRawBufferPointer) {
        let parts = unsafe tag.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let last = unsafe parts.last, let next = unsafe DecimalNumber.parse(last) else { return nil }
        guard unsafe parts.count == 2 else {
            self = .next(RecordOffset(rawValue: next), log: nil)
            return
        }
        guard let id = unsafe DecimalNumber.parse(parts[0]) else { return nil }
        self = .next(RecordOffset(rawValue: next), log: LogID(rawValue: id))
    }

    /// The same in quotes: a strong entity tag (RFC 9110, 8.8.3).
    init?(entityTag: UnsafeRawBufferPointer) {
        let quote = UInt8(ascii: "\"")
        guard entityTag.count >= 3, unsafe entityTag.first == quote, unsafe entityTag.last == quote else { return nil }
        unsafe self.init(tag: UnsafeRawBufferPointer(rebasing: entityTag[1..<entityTag.count - 1]))
    }
}

extension LogName {
    /// What `isValid` asks for, for messages.
    static var rule: String { "1 to \(LogStoreLimits.logNameBytesMax) of A-Z a-z 0-9 . _ -, not starting with a dot" }
}
