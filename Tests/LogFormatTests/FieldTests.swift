import Testing

@testable import LogFormat

@Suite struct FieldTests {
    private func decoded(_ bytes: [UInt8]) throws(FormatError) -> [SampleField] {
        try withGuarded(bytes) { bytes throws(FormatError) in
            try FieldReader(checking: bytes).map { SampleField(kind: $0.kind, value: [UInt8]($0.value)) }
        }
    }

    private func encoded(_ fields: [SampleField]) -> [UInt8] {
        SampleFrame(fields: fields).encodedFields
    }

    @Test func everyKindAndEveryLengthComesBack() throws {
        for kind in FieldKind.allCases {
            for count in 0...40 {
                let fields = [
                    SampleField(kind: kind, value: [UInt8](repeating: 0xEE, count: count)),
                    SampleField(kind: .contentType, value: [1]),
                ]
                let bytes = encoded(fields)
                #expect(bytes.count % 8 == 0)
                #expect(try decoded(bytes) == fields)
            }
        }
    }

    @Test func theNumbersOfTheKindsAreTheOnesOnDisk() {
        #expect(FieldKind.allCases.map(\.rawValue) == Array(1...8))
        #expect(FieldKind(rawValue: 5) == .group && FieldKind(rawValue: 7) == .configuration)
    }

    @Test func aFieldIsTypeLengthValueAndZeros() {
        #expect(
            encoded([SampleField(kind: .logName, value: Array("orders".utf8))])
                == [6, 0, 6, 0] + Array("orders".utf8) + [0, 0, 0, 0, 0, 0])
    }

    @Test func noFieldsAreNoBytes() throws {
        #expect(encoded([]).isEmpty)
        #expect(try decoded([]).isEmpty)
    }

    @Test func theLargestFieldFillsTheFieldsExactly() throws {
        let valueBytesMax = FrameHeader.fieldsBytesMax - 4
        var writer = FieldWriter()
        #expect(writer.fits(valueBytes: valueBytesMax))
        #expect(!writer.fits(valueBytes: valueBytesMax + 1))
        let value = [UInt8](repeating: 7, count: valueBytesMax)
        writer.append(.configuration, value)
        #expect(writer.bytes.count == FrameHeader.fieldsBytesMax)
        #expect(!writer.fits(valueBytes: 0))
        #expect(try decoded(writer.bytes) == [SampleField(kind: .configuration, value: value)])
    }

    @Test func aWriterIsUsedAgain() throws {
        var writer = FieldWriter()
        writer.append(.logName, Array("first".utf8))
        writer.removeAll()
        writer.append(.producer, [1, 2, 3])
        #expect(try decoded(writer.bytes) == [SampleField(kind: .producer, value: [1, 2, 3])])
    }

    @Test func aValueIsFoundByItsKind() throws {
        let bytes = encoded([
            SampleField(kind: .producer, value: [1]), SampleField(kind: .logName, value: [2]),
            SampleField(kind: .logName, value: [3]),
        ])
        try withGuarded(bytes) { bytes throws in
            let reader = try FieldReader(checking: bytes)
            #expect(reader.value(of: .logName).map(Array.init) == [2])
            #expect(reader.value(of: .producer).map(Array.init) == [1])
            #expect(reader.value(of: .group) == nil)
        }
    }

    @Test func everyUnknownTypeIsRefused() {
        var bytes = encoded([SampleField(kind: .producer, value: [1])])
        for type in [UInt16(0)] + Array(9...UInt16.max) {
            bytes.store(type, at: 0)
            expectRefusal(.unknownField(type)) { () throws(FormatError) in _ = try decoded(bytes) }
        }
    }

    @Test func anUnknownTypeBehindAKnownOneIsRefused() {
        var bytes = encoded([SampleField(kind: .producer, value: [1]), SampleField(kind: .logName, value: [1])])
        bytes.store(UInt16(900), at: 8)
        #expect(throws: FormatError.unknownField(900)) { try decoded(bytes) }
    }

    @Test func aFieldThatLeavesItsFrameIsRefusedAtEveryLength() {
        var bytes = encoded([SampleField(kind: .producer, value: [1, 2, 3, 4])])
        for valueBytes in 5...UInt16.max {
            bytes.store(valueBytes, at: 2)
            expectRefusal(.badField, "\(valueBytes) bytes") { () throws(FormatError) in _ = try decoded(bytes) }
        }
    }

    @Test func everyTruncationIsRefused() {
        let bytes = encoded([SampleField(kind: .producer, value: Array(0..<16))])
        for count in 1..<bytes.count {
            #expect(throws: FormatError.badField, "\(count) bytes") { try decoded(Array(bytes[..<count])) }
        }
    }

    @Test func everyFlippedPaddingBitIsRefused() {
        let bytes = encoded([SampleField(kind: .producer, value: [1, 2, 3, 4, 5])])
        for bit in 9 * 8..<16 * 8 {
            #expect(throws: FormatError.nonZeroPadding) { try decoded(bytes.flippingBit(bit)) }
        }
    }

    @Test func aFieldThatDoesNotFitTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            var writer = FieldWriter()
            writer.append(.configuration, [UInt8](repeating: 0, count: 65_525))
        }
        expectTrap("the field does not fit the frame", result)
    }
}
