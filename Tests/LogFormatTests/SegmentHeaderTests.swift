import Testing

@testable import LogFormat

@Suite struct SegmentHeaderTests {
    private static let sample = SegmentHeader(
        blockBytes: 4096, storeID: SampleBatch.several.storeID, position: Position(rawValue: 67_108_864),
        segmentBytes: 67_108_864, created: Timestamp(rawValue: 1_795_000_000_000_000), compatibleFeatures: 0x8000_0001)

    private func encoded(_ header: SegmentHeader = sample, byteCount: Int = 4096) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xA5, count: byteCount)
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        return bytes
    }

    private func decoded(_ bytes: [UInt8]) throws(FormatError) -> SegmentHeader {
        try withGuarded(bytes) { bytes throws(FormatError) in try SegmentHeader(decoding: bytes) }
    }

    /// A header with one integer overwritten and the checksum made right again.
    private func forged<Value: FixedWidthInteger>(_ value: Value, at offset: Int) -> [UInt8] {
        var bytes = encoded()
        bytes.store(value, at: offset)
        bytes.store(bytes.checksum(of: 0..<76), at: 76)
        return bytes
    }

    @Test func everyFieldComesBack() throws {
        #expect(try decoded(encoded()) == Self.sample)
    }

    @Test func eachFieldHasItsOwnPlace() throws {
        var header = Self.sample
        header.blockBytes = 512
        header.storeID = StoreID(first: 1, second: 2)
        header.position = Position(rawValue: 3)
        header.segmentBytes = 1024
        header.created = Timestamp(rawValue: 4)
        header.compatibleFeatures = 5
        #expect(try decoded(encoded(header)) == header)
    }

    @Test func theRestOfTheBlockIsZeroed() {
        #expect(encoded()[SegmentHeader.byteCount...].allSatisfy { $0 == 0 })
    }

    @Test func nothingBehindTheFirstBlockIsTouched() {
        let bytes = encoded(byteCount: 8192)
        #expect(bytes[80..<4096].allSatisfy { $0 == 0 })
        #expect(bytes[4096...].allSatisfy { $0 == 0xA5 })
    }

    @Test func theHeaderAloneIsEnoughToReadIt() throws {
        #expect(try decoded(encoded(byteCount: SegmentHeader.byteCount)) == Self.sample)
    }

    @Test func batchesBehindTheFirstBlockAreNotLookedAt() throws {
        #expect(try decoded(encoded(byteCount: 8192)) == Self.sample)
    }

    @Test func everyTruncationIsRefused() {
        let bytes = encoded()
        for count in 0..<SegmentHeader.byteCount {
            #expect(throws: FormatError.truncated(needed: 80, available: count)) {
                try decoded(Array(bytes[..<count]))
            }
        }
    }

    @Test func everyFlippedBitOfTheBlockIsRefused() {
        let bytes = encoded()
        for bit in 0..<bytes.count * 8 {
            let expected: FormatError =
                switch bit / 8 {
                case 0..<8: .badMagic
                case 8..<80: .checksumMismatch
                default: .nonZeroPadding
                }
            expectRefusal(expected, "bit \(bit)") { () throws(FormatError) in _ = try decoded(bytes.flippingBit(bit)) }
        }
    }

    @Test func anEmptyBlockIsNoHeader() {
        #expect(throws: FormatError.badMagic) { try decoded([UInt8](repeating: 0, count: 4096)) }
    }

    @Test(arguments: [UInt32(0), 2, .max])
    func anotherVersionIsRefused(version: UInt32) {
        #expect(throws: FormatError.unsupportedVersion(version)) { try decoded(forged(version, at: 8)) }
    }

    @Test func everyIncompatibleFeatureBitButThoseKnownIsRefused() throws {
        #expect(SegmentHeader.knownIncompatibleFeatures == 3)
        #expect(try decoded(forged(UInt64(1), at: 24)).incompatibleFeatures == SegmentHeader.lostRecordsFeature)
        #expect(try decoded(forged(UInt64(2), at: 24)).content == .singleLog)
        for bit in 2..<64 {
            let features = UInt64(1) << bit
            #expect(throws: FormatError.unknownFeatures(features)) { try decoded(forged(features, at: 24)) }
        }
    }

    @Test func everyCompatibleFeatureBitIsIgnored() throws {
        for bit in 0..<64 {
            let features = UInt64(1) << bit
            #expect(try decoded(forged(features, at: 16)).compatibleFeatures == features)
        }
    }

    @Test func theReservedNumberMustBeZero() {
        #expect(throws: FormatError.nonZeroReserved) { try decoded(forged(UInt32(1), at: 72)) }
    }

    @Test(arguments: [UInt32(0), 1, 256, 511, 4095, 4097, 6144, .max])
    func aBlockThatIsNoPowerOfTwoOrTooSmallIsRefused(blockBytes: UInt32) {
        #expect(throws: FormatError.badLength) { try decoded(forged(blockBytes, at: 12)) }
    }

    @Test(arguments: [UInt64(0), 4096, 67_108_865, 1 << 63, .max])
    func aSegmentOfPartBlocksOrWithoutRoomOrTooLargeIsRefused(segmentBytes: UInt64) {
        #expect(throws: FormatError.badLength) { try decoded(forged(segmentBytes, at: 56)) }
    }

    @Test func aSegmentMustEndBelowTheLargestPosition() throws {
        let last = UInt64(Int64.max) - Self.sample.segmentBytes
        #expect(try decoded(forged(last, at: 48)).position == Position(rawValue: last))
        #expect(throws: FormatError.badLength) { try decoded(forged(last + 1, at: 48)) }
        #expect(throws: FormatError.badLength) { try decoded(forged(UInt64.max, at: 48)) }
    }

    @Test func encodingASegmentThatCouldNotBeReadTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            var header = SegmentHeaderTests.sample
            header.segmentBytes = 4096
            var bytes = [UInt8](repeating: 0, count: 4096)
            bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        }
        expectTrap("could not be read again", result)
    }

    @Test func encodingIntoTooFewBytesTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            var bytes = [UInt8](repeating: 0, count: SegmentHeader.byteCount - 1)
            bytes.withUnsafeMutableBytes { SegmentHeaderTests.sample.encode(into: $0) }
        }
        expectTrap("no room for a segment header", result)
    }
}
