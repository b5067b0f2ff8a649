import CSimdJSON

/// Why a body is not what it has to be; a sentence for the client.
struct InvalidBody: Error, Equatable {
    let detail: String
    /// The append of a batch that is meant, counted from 0.
    var index: Int?

    init(_ detail: String, index: Int? = nil) {
        self.detail = detail
        self.index = index
    }
}

/// Parses JSON (RFC 8259) by simdjson, and keeps the memory of small texts for the next one.
@safe
final class JSONParser {
    private var parser: OpaquePointer?

    deinit { release() }

    /// Parses a text and lends its root. No value of it may be used after `body`.
    func parse<Result>(
        _ text: UnsafeRawBufferPointer, _ body: (JSONValue) throws(InvalidBody) -> Result
    ) throws(InvalidBody) -> Result {
        if unsafe parser == nil { unsafe parser = csimdjson_create() }
        guard let parser = unsafe parser else { preconditionFailure("no memory for a JSON parser") }
        // A large text takes many times its size: that is not kept.
        defer { if text.count > ServiceLimits.keptJSONBytesMax { release() } }
        var root = unsafe csimdjson_value()
        var message: UnsafePointer<CChar>?
        let start = unsafe text.baseAddress.map { unsafe UnsafePointer($0.assumingMemoryBound(to: CChar.self)) }
        guard text.count > 0, unsafe csimdjson_parse(parser, start, text.count, &root, &message) else {
            let cause = unsafe message.map { unsafe String(cString: $0) } ?? "it is empty"
            throw InvalidBody("The body is not JSON: \(cause)")
        }
        return try body(unsafe JSONValue(root))
    }

    private func release() {
        if let parser = unsafe parser { unsafe csimdjson_destroy(parser) }
        unsafe parser = nil
    }
}

/// A value of the text that is being parsed.
@safe
struct JSONValue {
    private let value: csimdjson_value

    init(_ value: csimdjson_value) { unsafe self.value = unsafe value }

    var isNull: Bool { unsafe csimdjson_is_null(value) }
    var isArray: Bool { unsafe csimdjson_is_array(value) }
    var isObject: Bool { unsafe csimdjson_is_object(value) }

    /// The bytes of a string, unescaped; nil for anything else, and for what is no Unicode text (half a surrogate pair).
    var string: UnsafeRawBufferPointer? {
        var start: UnsafePointer<CChar>?
        var byteCount = 0
        guard unsafe csimdjson_string(value, &start, &byteCount) else { return nil }
        let bytes = unsafe UnsafeRawBufferPointer(start: start, count: byteCount)
        return unsafe UTF8Text.isValid(bytes) ? bytes : nil
    }

    /// An integer that is not negative; nil for anything else.
    var unsigned: UInt64? {
        var number: UInt64 = 0
        return unsafe csimdjson_unsigned(value, &number) ? number : nil
    }

    /// The elements of an array or the members of an object.
    var elements: JSONElements { unsafe JSONElements(csimdjson_begin(value)) }
}

/// An element of an array, or a member of an object with its name.
@safe
struct JSONElement {
    let name: UnsafeRawBufferPointer
    let value: JSONValue
}

/// A walk over an array or an object.
@safe
struct JSONElements {
    private var walk: csimdjson_walk

    init(_ walk: csimdjson_walk) { unsafe self.walk = unsafe walk }

    mutating func next() -> JSONElement? {
        var value = unsafe csimdjson_value()
        var name: UnsafePointer<CChar>?
        var nameBytes = 0
        guard unsafe csimdjson_next(&walk, &value, &name, &nameBytes) else { return nil }
        return unsafe JSONElement(
            name: UnsafeRawBufferPointer(start: name, count: nameBytes), value: JSONValue(value))
    }
}

/// The members of an object, each known and at most once there. A member that is null counts as not there, but for
/// `isNull`.
struct JSONMembers {
    private var members: [(name: StaticString, value: JSONValue)] = []
    /// What the object is, for messages.
    private let subject: String

    init(_ value: JSONValue, of subject: String, names: [StaticString]) throws(InvalidBody) {
        self.subject = subject
        guard value.isObject else { throw InvalidBody("\(subject) must be a JSON object.") }
        var elements = value.elements
        while let element = elements.next() {
            guard let name = names.first(where: { unsafe element.name.elementsEqual("\($0)".utf8) }) else {
                let shown = unsafe String(decoding: element.name.prefix(64), as: UTF8.self)
                throw InvalidBody("\(subject) has no member '\(shown)'.")
            }
            guard !members.contains(where: { "\($0.name)" == "\(name)" }) else {
                throw InvalidBody("\(subject) has the member '\(name)' more than once.")
            }
            members.append((name, element.value))
        }
    }

    /// The value of a member; nil if it is not there or null.
    subscript(_ name: StaticString) -> JSONValue? {
        guard let value = sent(name), !value.isNull else { return nil }
        return value
    }

    /// Whether a member is there and null.
    func isNull(_ name: StaticString) -> Bool { sent(name)?.isNull ?? false }

    /// The number of a member; nil if it is not there or null.
    func number(_ name: StaticString, from minimum: UInt64, through maximum: UInt64) throws(InvalidBody) -> UInt64? {
        guard let value = self[name] else { return nil }
        guard let number = value.unsigned, (minimum...maximum).contains(number) else {
            throw InvalidBody("'\(name)' of \(subject) must be an integer from \(minimum) to \(maximum).")
        }
        return number
    }

    /// The text of a member; nil if it is not there or null.
    func string(_ name: StaticString) throws(InvalidBody) -> UnsafeRawBufferPointer? {
        guard let value = self[name] else { return nil }
        guard let text = unsafe value.string else {
            throw InvalidBody("'\(name)' of \(subject) must be a string.")
        }
        return unsafe text
    }

    private func sent(_ name: StaticString) -> JSONValue? {
        members.first { "\($0.name)" == "\(name)" }?.value
    }
}
