import Glibc
import Testing

@testable import LogFormat

@Suite struct CRC32CTests {
    /// The definition, bit by bit: RFC 3720, reflected polynomial 0x82F63B78.
    private func checksumByDefinition(_ bytes: [UInt8]) -> UInt32 {
        var state = ~UInt32(0)
        for byte in bytes {
            state ^= UInt32(byte)
            for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82F6_3B78 : state >> 1 }
        }
        return ~state
    }

    private func checksum(_ bytes: [UInt8], continuing: UInt32 = 0) -> UInt32 {
        bytes.withUnsafeBytes { CRC32C.checksum($0, continuing: continuing) }
    }

    @Test func theCheckValueIsTheOneOfCastagnoli() {
        #expect(checksum(Array("123456789".utf8)) == 0xE306_9283)
    }

    @Test func theVectorsOfRFC3720Match() {
        #expect(checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(checksum(Array(0..<32)) == 0x46DD_794E)
        #expect(checksum(Array((0..<32).reversed())) == 0x113F_DB5C)
    }

    @Test func everyLengthUpTo600AgreesWithTheDefinition() {
        for count in 0...600 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 17) }
            #expect(checksum(bytes) == checksumByDefinition(bytes), "\(count) bytes")
        }
    }

    @Test func nothingChangesNothing() {
        #expect(checksum([]) == 0)
        #expect(checksum([], continuing: 0x1234_5678) == 0x1234_5678)
    }

    @Test func everySplitOfTheBytesGivesTheSameChecksum() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let whole = checksum(bytes)
        for split in 0...bytes.count {
            #expect(checksum(Array(bytes[split...]), continuing: checksum(Array(bytes[..<split]))) == whole)
        }
    }

    @Test func theChecksumsOfTwoPartsMakeThatOfTheWhole() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ 3) }
        let whole = checksum(bytes)
        for split in 0...bytes.count {
            let (first, second) = (checksum(Array(bytes[..<split])), checksum(Array(bytes[split...])))
            #expect(CRC32C.joined(first, second, byteCount: bytes.count - split) == whole, "split at \(split)")
        }
        let long = (0..<(5 << 20) + 13).map { UInt8(truncatingIfNeeded: $0 &* 37 >> 3) }
        let (first, second) = (checksum(Array(long[..<1_000])), checksum(Array(long[1_000...])))
        #expect(CRC32C.joined(first, second, byteCount: long.count - 1_000) == checksum(long))
    }

    @Test func piecesOfEverySizeGiveTheSameChecksum() {
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        let whole = checksum(bytes)
        for piece in 1...bytes.count + 1 {
            let inPieces = bytes.withUnsafeBytes { CRC32C.checksum($0, continuing: 0, pieceBytesMax: piece) }
            #expect(inPieces == whole, "pieces of \(piece) bytes")
        }
    }

    /// Untouched anonymous memory is one shared page of zeros: 2 GiB of it cost almost no memory. A few bytes must not be
    /// zero: this CRC comes back to its state after 2^31 - 1 zeros, which is just the length of a piece.
    @Test func moreBytesThanACIntegerCountsAreAllCovered() throws {
        let byteCount = Int(Int32.max) + 12_345
        let memory = try #require(
            mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))
        try #require(memory != MAP_FAILED)
        defer { munmap(memory, byteCount) }
        let bytes = UnsafeMutableRawBufferPointer(start: memory, count: byteCount)
        for offset in [0, byteCount / 3, Int(Int32.max) - 1, Int(Int32.max), byteCount - 1] { bytes[offset] = 0x5A }
        let half = byteCount / 2
        let first = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<half]))
        let inHalves = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[half...]), continuing: first)
        #expect(CRC32C.checksum(UnsafeRawBufferPointer(bytes)) == inHalves)
    }
}
