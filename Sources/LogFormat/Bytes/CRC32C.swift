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
}
