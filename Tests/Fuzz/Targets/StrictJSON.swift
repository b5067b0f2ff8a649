/// A strict reader of JSON (RFC 8259), written apart from the code under test.
struct StrictJSON {
    indirect enum Value: Equatable {
        case object([String: Value])
        case array([Value])
        case string(String)
        /// As it was written.
        case number(String)
        case literal(String)

        subscript(name: String) -> Value? {
            if case .object(let members) = self { members[name] } else { nil }
        }
    }

    private let bytes: [UInt8]
    private var offset = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value that the bytes are; nil if they are anything else, or have anything behind it.
    static func value(of bytes: some Sequence<UInt8>) -> Value? {
        var reader = StrictJSON(Array(bytes))
        guard let value = reader.value(), reader.offset == reader.bytes.count else { return nil }
        return value
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard offset < bytes.count, bytes[offset] == byte else { return false }
        offset += 1
        return true
    }

    private mutating func value() -> Value? {
        guard offset < bytes.count else { return nil }
        switch bytes[offset] {
        case UInt8(ascii: "{"): return object()
        case UInt8(ascii: "["): return array()
        case UInt8(ascii: "\""): return string().map(Value.string)
        default: return scalar()
        }
    }

    private mutating func object() -> Value? {
        offset += 1
        var members: [String: Value] = [:]
        if take(UInt8(ascii: "}")) { return .object(members) }
        repeat {
            guard let name = string(), take(UInt8(ascii: ":")), let value = value() else { return nil }
            guard members.updateValue(value, forKey: name) == nil else { return nil }
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "}")) ? .object(members) : nil
    }

    private mutating func array() -> Value? {
        offset += 1
        var values: [Value] = []
        if take(UInt8(ascii: "]")) { return .array(values) }
        repeat {
            guard let value = value() else { return nil }
            values.append(value)
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "]")) ? .array(values) : nil
    }

    private mutating func scalar() -> Value? {
        let text = bytes[offset...].prefix { !",]} \t\r\n".utf8.contains($0) }
        offset += text.count
        let string = String(decoding: text, as: UTF8.self)
        if ["true", "false", "null"].contains(string) { return .literal(string) }
        return Self.isNumber(string) ? .number(string) : nil
    }

    /// Without exponents, which nobody writes.
    private static func isNumber(_ text: String) -> Bool {
        let parts = text.drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
        guard text.hasPrefix("--") == false, (1...2).contains(parts.count) else { return false }
        guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else {
            return false
        }
        return parts[0] == "0" || !parts[0].hasPrefix("0")
    }

    private mutating func string() -> String? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        var text: [UInt8] = []
        while offset < bytes.count {
            let byte = bytes[offset]
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = escape() else { return nil }
                text.append(escaped)
            case 0..<0x20: return nil
            default: text.append(byte)
            }
        }
        return nil
    }

    /// The byte behind a backslash; only the escapes of single ASCII characters are written.
    private mutating func escape() -> UInt8? {
        guard offset < bytes.count else { return nil }
        let byte = bytes[offset]
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return byte
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "u"):
            let digits = bytes[offset...].prefix(4)
            offset += digits.count
            guard digits.count == 4 else { return nil }
            return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
        default: return nil
        }
    }
}
