@testable import LogFormat

/// Input: a control byte (bit 0: put the checksum right first), two bytes that choose a bit to flip, and the first bytes of
/// a segment.
enum SegmentTarget {
    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let control = reader.byte()
        let bit = Int(reader.integer(UInt16.self))
        var bytes = reader.remainder()
        if control & 1 == 1, bytes.count >= SegmentHeader.byteCount { bytes.store(bytes.checksum(of: 0..<76), at: 76) }
        guard let header = decoded(bytes) else { return }
        require(header.position.rawValue + header.segmentBytes <= UInt64(Int64.max), "a segment ends beyond 2^63")
        require(header.segmentBytes % UInt64(header.blockBytes) == 0, "a segment is no whole number of blocks")
        require(
            decoded(bytes.flippingBit(bit % (SegmentHeader.byteCount * 8))) == nil,
            "a segment header with a flipped bit is accepted")
        require(decoded(Array(bytes[..<(bit % SegmentHeader.byteCount)])) == nil, "a part of a header is accepted")
        let covered = min(bytes.count, Int(header.blockBytes))
        var written = [UInt8](repeating: 0xA5, count: covered)
        written.withUnsafeMutableBytes { header.encode(into: $0) }
        require(written.elementsEqual(bytes[..<covered]), "a segment header written again has other bytes")
    }

    private static func decoded(_ bytes: [UInt8]) -> SegmentHeader? {
        withExactMemory(bytes) { try? SegmentHeader(decoding: $0) }
    }
}
