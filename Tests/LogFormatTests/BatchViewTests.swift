import Testing

@testable import LogFormat

@Suite struct BatchViewTests {
    private static let encoded = SampleBatch.several.encodedExactly()
    private static let firstFrame = BatchHeader.byteCount
    private static let secondFrame = firstFrame + SampleBatch.several.frames[0].frameBytes

    /// The sample batch with one integer overwritten, all checksums that can be made right again.
    private func forged<Value: FixedWidthInteger>(_ value: Value, at offset: Int, inFrame frame: Int? = nil) -> [UInt8]
    {
        var bytes = Self.encoded
        bytes.store(value, at: (frame ?? 0) + offset)
        if let frame { bytes.repairFrameChecksum(at: frame) }
        bytes.repairBatchChecksum()
        return bytes
    }

    private func header(of bytes: [UInt8]) throws -> BatchHeader {
        try withGuarded(bytes) { try BatchView.header(at: $0) }
    }

    @Test func everyFieldAndFrameComesBack() throws {
        #expect(try SampleBatch(decoding: Self.encoded) == SampleBatch.several)
    }

    @Test func eachHeaderFieldHasItsOwnPlace() throws {
        let batch = SampleBatch(
            number: BatchNumber(rawValue: 0x0102_0304_0506_0708),
            durableThrough: BatchNumber(rawValue: 0x1112_1314_1516_1718), storeID: StoreID(first: 5, second: 6),
            epoch: Epoch(rawValue: 0x2122_2324), previousCRC: 0x3132_3334,
            position: Position(rawValue: 0x4142_4344_4546_4748), frames: [SampleFrame(records: [[1]])])
        let bytes = batch.encodedExactly()
        #expect(Array(bytes[..<4]) == Array("BTCH".utf8))
        #expect(bytes.integer(at: 8, as: UInt32.self) == UInt32(bytes.count))
        #expect(bytes.integer(at: 12, as: UInt32.self) == 1)
        #expect(bytes.integer(at: 16, as: UInt64.self) == 0x0102_0304_0506_0708)
        #expect(bytes.integer(at: 24, as: UInt64.self) == 0x1112_1314_1516_1718)
        #expect(bytes.integer(at: 48, as: UInt32.self) == 0x2122_2324)
        #expect(bytes.integer(at: 52, as: UInt32.self) == 0x3132_3334)
        #expect(bytes.integer(at: 56, as: UInt64.self) == 0x4142_4344_4546_4748)
        #expect(try SampleBatch(decoding: bytes) == batch)
    }

    @Test func framesKnowWhereTheyLie() throws {
        try withGuarded(Self.encoded) { bytes throws in
            var view = try BatchView(checking: bytes)
            #expect(view.nextFrameOffset == Self.firstFrame)
            _ = try view.nextFrame()
            #expect(view.nextFrameOffset == Self.secondFrame)
            while try view.nextFrame() != nil {}
            #expect(view.nextFrameOffset == Self.encoded.count)
            #expect(try view.nextFrame() == nil)
        }
    }

    @Test func theHeaderIsReadWithoutTheFrames() throws {
        let header = try header(of: Array(Self.encoded[..<BatchHeader.byteCount]))
        #expect(header.byteCount == UInt32(Self.encoded.count))
        #expect(header.number == SampleBatch.several.number)
    }

    @Test func whatFollowsTheBatchIsIgnored() throws {
        #expect(try SampleBatch(decoding: Self.encoded + [UInt8](repeating: 0xEE, count: 100)) == SampleBatch.several)
    }

    @Test func everyTruncationIsRefused() {
        for count in 0..<Self.encoded.count {
            let needed = count < BatchHeader.byteCount ? BatchHeader.byteCount : Self.encoded.count
            #expect(throws: FormatError.truncated(needed: needed, available: count)) {
                try SampleBatch(decoding: Array(Self.encoded[..<count]))
            }
        }
    }

    /// The write stopped anywhere; the rest of the block is zero, as in a new segment.
    @Test func aBatchThatEndsInZerosIsRefused() throws {
        let bytes = SampleBatch.several.encoded()
        for count in 0..<Self.encoded.count {
            let torn = Array(bytes[..<count]) + [UInt8](repeating: 0, count: bytes.count - count)
            guard torn != bytes else { continue }
            #expect(throws: FormatError.self, "cut at \(count)") { try SampleBatch(decoding: torn) }
        }
    }

    @Test func everyFlippedBitIsRefusedAndLooksTorn() {
        let bytes = SampleBatch.several.encoded()
        for bit in 0..<Self.encoded.count * 8 {
            let error = refusal { () throws(FormatError) in _ = try SampleBatch(decoding: bytes.flippingBit(bit)) }
            let looksTorn =
                switch error {
                case .badMagic: bit < 32
                case .truncated, .badLength: (64..<128).contains(bit) || (448..<512).contains(bit)
                case .checksumMismatch: true
                default: false
                }
            if !looksTorn { Issue.record("bit \(bit): \(error.debugDescription)") }
        }
    }

    @Test func flippedBitsBehindTheBatchChangeNothing() throws {
        let bytes = SampleBatch.several.encoded(blockBytes: 512)
        for bit in Self.encoded.count * 8..<bytes.count * 8 {
            guard try SampleBatch(decoding: bytes.flippingBit(bit)) != SampleBatch.several else { continue }
            Issue.record("bit \(bit)")
        }
    }

    @Test func freeSpaceIsNoBatch() {
        #expect(throws: FormatError.badMagic) { try SampleBatch(decoding: [UInt8](repeating: 0, count: 4096)) }
        #expect(throws: FormatError.badMagic) { try SampleBatch(decoding: [UInt8](repeating: 0xFF, count: 4096)) }
    }

    @Test func aBatchWithoutFramesIsRefused() {
        var bytes = Array(Self.encoded[..<BatchHeader.byteCount])
        bytes.store(UInt32(64), at: 8)
        bytes.store(UInt32(0), at: 12)
        bytes.repairBatchChecksum()
        #expect(throws: FormatError.badLength) { try SampleBatch(decoding: bytes) }
    }

    @Test func aFrameCountThatMissesTheFramesIsRefused() {
        for frameCount: UInt32 in [1, 2, 3, 5] {
            #expect(throws: FormatError.badFrameCount, "\(frameCount)") {
                try SampleBatch(decoding: forged(frameCount, at: 12))
            }
        }
        for frameCount in [6, UInt32.max] {
            #expect(throws: FormatError.badLength) { try SampleBatch(decoding: forged(frameCount, at: 12)) }
        }
    }

    @Test func aByteCountThatMissesTheFramesIsRefused() {
        let byteCount = UInt32(Self.encoded.count)
        var longer = Self.encoded + [UInt8](repeating: 0, count: 8)
        longer.store(byteCount + 8, at: 8)
        longer.repairBatchChecksum()
        #expect(throws: FormatError.badFrameCount) { try SampleBatch(decoding: longer) }
        let lastFrame = Self.encoded.count - SampleBatch.several.frames[3].frameBytes
        #expect(throws: FormatError.damagedFrame(offset: lastFrame)) {
            try SampleBatch(decoding: forged(byteCount - 8, at: 8))
        }
        for other in [byteCount - 1, byteCount - 4] {
            #expect(throws: FormatError.badLength) { try SampleBatch(decoding: forged(other, at: 8)) }
        }
    }

    @Test func lengthsAndPositionsThatOverflowAreRefused() {
        var bytes = Self.encoded
        bytes.store(UInt64(Int64.max) - 7, at: 56)
        #expect(throws: FormatError.badLength) { try header(of: bytes) }
        bytes.store(UInt64.max, at: 56)
        #expect(throws: FormatError.badLength) { try header(of: bytes) }
    }

    /// A right checksum over a wrong frame was written so: the batch is damage, and not one frame of it is given out.
    @Test func aBadFrameInsideAGoodBatchRefusesTheWholeBatch() {
        var offset = BatchHeader.byteCount
        for frame in SampleBatch.several.frames {
            for bit in offset * 8..<(offset + frame.frameBytes) * 8 {
                var bytes = Self.encoded.flippingBit(bit)
                bytes.repairBatchChecksum()
                expectRefusal(.damagedFrame(offset: offset), "bit \(bit)") { () throws(FormatError) in
                    try withGuarded(bytes) { bytes throws(FormatError) in _ = try BatchView(checking: bytes) }
                }
            }
            offset += frame.frameBytes
        }
    }

    @Test func unknownKindsFieldsAndFlagsInAGoodBatchNeedANewerVersion() {
        #expect(throws: FormatError.unknownKind(11)) {
            try SampleBatch(decoding: forged(UInt8(11), at: 8, inFrame: Self.secondFrame))
        }
        #expect(throws: FormatError.unknownFlags(1)) {
            try SampleBatch(decoding: forged(UInt8(1), at: 9, inFrame: Self.secondFrame))
        }
        #expect(throws: FormatError.unknownField(99)) {
            try SampleBatch(decoding: forged(UInt16(99), at: FrameHeader.byteCount, inFrame: Self.secondFrame))
        }
    }

    @Test func onlyWhatANewerVersionWritesNeedsANewerVersion() {
        let newer: [FormatError] = [
            .unknownFlags(1), .unknownKind(10), .unknownField(8), .unknownFeatures(1), .unsupportedVersion(2),
        ]
        let damage: [FormatError] = [
            .truncated(needed: 2, available: 1), .badMagic, .checksumMismatch, .badLength, .badFrameCount,
            .damagedFrame(offset: 64), .badField, .badRecordLengths, .nonZeroPadding, .nonZeroReserved,
        ]
        #expect(newer.allSatisfy { $0.needsNewerVersion })
        #expect(!damage.contains { $0.needsNewerVersion })
        for error in newer + damage { #expect(error.description.hasSuffix(".")) }
        #expect(Set((newer + damage).map(\.description)).count == newer.count + damage.count)
    }
}
