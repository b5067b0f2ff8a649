/// The base64 of RFC 4648, section 4: with padding, without line breaks.
enum Base64 {
    private static let digits: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    private static let padding = UInt8(ascii: "=")

    static func append(_ data: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.reserveCapacity(output.count + (data.count + 2) / 3 * 4)
        var index = 0
        while index + 3 <= data.count {
            let group = unsafe UInt32(data[index]) << 16 | UInt32(data[index + 1]) << 8 | UInt32(data[index + 2])
            append(group, digitCount: 4, to: &output)
            index += 3
        }
        switch data.count - index {
        case 1:
            append(unsafe UInt32(data[index]) << 16, digitCount: 2, to: &output)
            output.append(padding)
            output.append(padding)
        case 2:
            append(unsafe UInt32(data[index]) << 16 | UInt32(data[index + 1]) << 8, digitCount: 3, to: &output)
            output.append(padding)
        default: break
        }
    }

    /// Writes the first digits of 24 bits.
    private static func append(_ group: UInt32, digitCount: Int, to output: inout [UInt8]) {
        for place in 0..<digitCount {
            output.append(unsafe digits.utf8Start[Int(group >> (18 - 6 * UInt32(place)) & 63)])
        }
    }
}
