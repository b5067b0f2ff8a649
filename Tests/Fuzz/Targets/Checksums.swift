@testable import LogFormat

/// A mutation breaks the checksums, and whatever stands behind them would never be reached: these put them right again.
extension [UInt8] {
    func integer<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type = Value.self) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }

    mutating func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self) }
    }

    func checksum(of range: Range<Int>, continuing: UInt32 = 0) -> UInt32 {
        withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[range]), continuing: continuing) }
    }

    /// Gives the batch at `start`, and each frame that can be found in it, the checksum of what it holds. False where no
    /// batch of a possible size stands.
    mutating func repairBatch(at start: Int, limit: Int) -> Bool {
        guard start + BatchHeader.byteCount <= limit else { return false }
        let byteCount = Int(integer(at: start + 8, as: UInt32.self))
        guard byteCount >= BatchHeader.byteCount, start + byteCount <= limit else { return false }
        var frame = start + BatchHeader.byteCount
        while frame + FrameHeader.byteCount <= start + byteCount {
            let frameBytes = Int(integer(at: frame, as: UInt32.self))
            guard frameBytes >= FrameHeader.byteCount, frame + frameBytes <= start + byteCount else { break }
            store(checksum(of: frame + 8..<frame + frameBytes), at: frame + 4)
            frame += frameBytes
        }
        store(checksum(of: start + 8..<start + byteCount), at: start + 4)
        return true
    }

    /// The same bytes with one bit turned over.
    func flippingBit(_ bit: Int) -> [UInt8] {
        var bytes = self
        bytes[bit / 8] ^= 1 << (bit % 8)
        return bytes
    }
}
