import LogFormat

/// Writes JSON text (RFC 8259) into bytes that are kept and used again: no allocation once they have grown.
///
/// The caller writes the punctuation with `literal`; strings and numbers are written correctly here.
struct JSONWriter {
    /// What was written.
    private(set) var bytes: [UInt8] = []

    /// Forgets what was written and keeps the memory.
    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
    }

    /// Writes JSON text as it is.
    mutating func literal(_ text: StaticString) {
        unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Writes an unsigned number.
    mutating func number(_ value: UInt64) {
        bytes.appendDecimal(value)
    }

    /// Writes a count, which is not negative.
    mutating func number(_ value: Int) {
        number(UInt64(value))
    }

    /// Writes a quotient with three decimal places; 0.000 if the divisor is 0.
    mutating func quotient(_ dividend: UInt64, by divisor: UInt64) {
        let (whole, rest) = divisor == 0 ? (0, 0) : dividend.quotientAndRemainder(dividingBy: divisor)
        // The rest is below the divisor, so the full product over it fits 64 bits again.
        let thousandths = divisor == 0 ? 0 : divisor.dividingFullWidth(rest.multipliedFullWidth(by: 1_000)).quotient
        number(whole)
        bytes.append(UInt8(ascii: "."))
        bytes.appendDecimal(thousandths, digitCountMin: 3)
    }

    mutating func boolean(_ value: Bool) {
        literal(value ? "true" : "false")
    }

    /// Writes a string, quotes included.
    mutating func string(_ text: String) {
        var text = text
        text.withUTF8 { buffer in unsafe string(UnsafeRawBufferPointer(buffer)) }
    }

    /// Writes a string, quotes included, from bytes that are UTF-8.
    mutating func string(_ text: UnsafeRawBufferPointer) {
        bytes.append(UInt8(ascii: "\""))
        var clean = 0
        for index in 0..<text.count {
            let byte = unsafe text[index]
            if byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") { continue }
            unsafe bytes.append(contentsOf: text[clean..<index])
            escape(byte)
            clean = index + 1
        }
        unsafe bytes.append(contentsOf: text[clean...])
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes bytes as a string in base64 (RFC 4648, 4), padded, quotes included.
    mutating func base64(_ data: UnsafeRawBufferPointer) {
        bytes.append(UInt8(ascii: "\""))
        unsafe Base64.append(data, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes bytes that need no escape, without quotes.
    mutating func raw(_ text: some Collection<UInt8>) {
        bytes.append(contentsOf: text)
    }

    /// Writes bytes that need no escape, without quotes.
    mutating func raw(_ text: UnsafeRawBufferPointer) {
        unsafe bytes.append(contentsOf: text)
    }

    /// Writes a time without quotes.
    mutating func rawTime(_ time: Timestamp) {
        RFC3339.append(time, to: &bytes)
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\n"): bytes.append(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): bytes.append(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): bytes.append(UInt8(ascii: "t"))
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
        default:
            literal("u00")
            bytes.append(Self.hexDigit(byte >> 4))
            bytes.append(Self.hexDigit(byte & 15))
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}

/// Whether bytes are text.
enum UTF8Text {
    /// True for valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard unsafe !bytes.isEmpty else { return true }
        let units = unsafe UnsafeBufferPointer(
            start: bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), count: bytes.count)
        // Throws for invalid text only; where it is does not matter.
        return unsafe (try? UTF8Span(validating: units.span)) != nil
    }
}
