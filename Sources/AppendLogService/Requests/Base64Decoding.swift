/// The other way of `Base64`.
extension Base64 {
    /// Appends the bytes that the text stands for. False, with `output` as it was, if the text is not padded base64 (RFC 4648,
    /// 4) in its one canonical form: the bits that no byte needs are zero (3.5), so each sequence of bytes has one text.
    static func appendDecoded(_ text: UnsafeRawBufferPointer, to output: inout [UInt8]) -> Bool {
        guard text.count % 4 == 0 else { return false }
        let start = output.count
        var index = 0
        while index < text.count {
            let padding = unsafe index + 4 < text.count ? 0 : paddingCount(text)
            guard let group = unsafe group(text, at: index, digitCount: 4 - padding), group & lostBits(padding) == 0
            else {
                output.removeSubrange(start...)
                return false
            }
            output.append(UInt8(truncatingIfNeeded: group >> 16))
            if padding < 2 { output.append(UInt8(truncatingIfNeeded: group >> 8)) }
            if padding < 1 { output.append(UInt8(truncatingIfNeeded: group)) }
            index += 4
        }
        return true
    }

    /// The equals signs at the end, two at most.
    private static func paddingCount(_ text: UnsafeRawBufferPointer) -> Int {
        guard unsafe text[text.count - 1] == UInt8(ascii: "=") else { return 0 }
        return unsafe text[text.count - 2] == UInt8(ascii: "=") ? 2 : 1
    }

    private static func lostBits(_ padding: Int) -> UInt32 {
        padding == 0 ? 0 : padding == 1 ? 0xFF : 0xFFFF
    }

    /// The 24 bits of four digits, of which the last may be missing.
    private static func group(_ text: UnsafeRawBufferPointer, at index: Int, digitCount: Int) -> UInt32? {
        var bits: UInt32 = 0
        for place in 0..<digitCount {
            guard let value = digit(unsafe text[index + place]) else { return nil }
            bits |= value << (18 - 6 * UInt32(place))
        }
        return bits
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
