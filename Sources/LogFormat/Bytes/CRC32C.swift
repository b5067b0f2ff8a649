import CISAL

/// The Castagnoli CRC of RFC 3720 (reflected polynomial 0x82F63B78), computed by Intel's ISA-L with the best
/// instructions of the machine. The check value of the ASCII bytes "123456789" is 0xE3069283.
public enum CRC32C {
    /// The checksum of `bytes`, or of earlier bytes and `bytes` when `continuing` is the checksum of the earlier ones.
    public static func checksum(_ bytes: UnsafeRawBufferPointer, continuing: UInt32 = 0) -> UInt32 {
        unsafe checksum(bytes, continuing: continuing, pieceBytesMax: Int(Int32.max))
    }

    /// ISA-L takes the length as a C int: longer bytes go through it in pieces of at most `pieceBytesMax`.
    static func checksum(_ bytes: UnsafeRawBufferPointer, continuing: UInt32, pieceBytesMax: Int) -> UInt32 {
        precondition(pieceBytesMax > 0 && pieceBytesMax <= Int(Int32.max))
        guard let start = bytes.baseAddress else { return continuing }
        // ISA-L leaves out the inversion before and after; and it reads only, though its parameter is not const.
        let source = unsafe UnsafeMutablePointer(mutating: start.assumingMemoryBound(to: UInt8.self))
        var state = ~continuing
        var done = 0
        while done < bytes.count {
            let pieceBytes = min(bytes.count - done, pieceBytesMax)
            state = unsafe crc32_iscsi(source + done, Int32(pieceBytes), state)
            done += pieceBytes
        }
        return ~state
    }

    /// The checksum of some bytes and `byteCount` others behind them, from the checksums of both: nothing is read again.
    static func joined(_ first: UInt32, _ second: UInt32, byteCount: Int) -> UInt32 {
        // The first one times x^(8 byteCount), by squaring. What is inverted before and after cancels itself out, as in zlib's
        // crc32_combine.
        var power: UInt32 = 1 << 23
        var product = first
        var rest = byteCount
        while rest > 0 {
            if rest & 1 == 1 { product = multiply(product, power) }
            power = multiply(power, power)
            rest >>= 1
        }
        return product ^ second
    }

    /// The product of two polynomials modulo that of the checksum. The highest bit is the coefficient of x^0.
    private static func multiply(_ first: UInt32, _ second: UInt32) -> UInt32 {
        var product: UInt32 = 0
        var shifted = second
        for bit in (0..<32).reversed() {
            if first >> bit & 1 == 1 { product ^= shifted }
            shifted = shifted & 1 == 1 ? shifted >> 1 ^ 0x82F6_3B78 : shifted >> 1
        }
        return product
    }
}
