import Testing

@testable import LogFormat

@Suite struct FrameTests {
    /// The bytes of the only frame of a batch.
    private func encoded(_ frame: SampleFrame) -> [UInt8] {
        let staging = StagingBuffer(capacityBytes: 8 << 20)
        staging.add(frame)
        return Array(staging.bytes(staging.builder.byteCount)[BatchHeader.byteCount...])
    }

    private func decoded(_ bytes: [UInt8]) throws(FormatError) -> SampleFrame {
        try withGuarded(bytes) { bytes throws(FormatError) in SampleFrame(try FrameView(checking: bytes)) }
    }

    /// A frame with one integer overwritten and the checksum made right again.
    private func forged<Value: FixedWidthInteger>(
        _ value: Value, at offset: Int, in frame: SampleFrame = SampleBatch.several.frames[1]
    ) -> [UInt8] {
        var bytes = encoded(frame)
        bytes.store(value, at: offset)
        bytes.repairFrameChecksum(at: 0)
        return bytes
    }

    @Test func everyKindComesBack() throws {
        for kind in FrameKind.allCases {
            let frame = SampleFrame(kind: kind, fields: [SampleField(kind: .group, value: Array(0..<16))])
            #expect(try decoded(encoded(frame)) == frame)
        }
    }

    @Test func theNumbersOfTheKindsAreTheOnesOnDisk() {
        #expect(FrameKind.allCases.map(\.rawValue) == Array(1...10))
        #expect(FrameKind(rawValue: 7) == .moved && FrameKind(rawValue: 9) == .epoch)
    }

    @Test func everyHeaderFieldHasItsOwnPlace() throws {
        let frame = SampleFrame(
            kind: .moved, logID: LogID(rawValue: 0x0102_0304_0506_0708),
            firstOffset: RecordOffset(rawValue: 0x1112_1314_1516_1718),
            timestamp: Timestamp(rawValue: 0x2122_2324_2526_2728), records: [[1, 2, 3]])
        let bytes = encoded(frame)
        #expect(bytes[8] == 7)
        #expect(bytes.integer(at: 12, as: UInt32.self) == 1)
        #expect(bytes.integer(at: 16, as: UInt64.self) == 0x0102_0304_0506_0708)
        #expect(bytes.integer(at: 24, as: UInt64.self) == 0x1112_1314_1516_1718)
        #expect(bytes.integer(at: 32, as: UInt64.self) == 0x2122_2324_2526_2728)
        #expect(bytes.integer(at: 40, as: UInt32.self) == 3)
        #expect(try decoded(bytes) == frame)
    }

    @Test func framesOfAllShapesComeBack() throws {
        for recordCount in 0...5 {
            for recordBytes in 0...17 {
                for fieldCount in 0...2 {
                    let frame = SampleFrame(
                        fields: (0..<fieldCount).map { SampleField(kind: .producer, value: Array(0..<UInt8($0 * 5))) },
                        records: (0..<recordCount).map { [UInt8](repeating: UInt8($0 + 1), count: recordBytes) })
                    let bytes = encoded(frame)
                    #expect(bytes.count == frame.frameBytes && bytes.count % 8 == 0)
                    #expect(try decoded(bytes) == frame)
                }
            }
        }
    }

    @Test func anEmptyRecordIsARecord() throws {
        let frame = SampleFrame(records: [[]])
        #expect(try decoded(encoded(frame)) == frame)
        #expect(encoded(frame).integer(at: 12, as: UInt32.self) == 1)
    }

    @Test func theLargestRequestOfTheDefaultsComesBack() throws {
        let record = SampleFrame(records: [[UInt8](repeating: 0x5A, count: 1 << 20)])
        #expect(try decoded(encoded(record)) == record)
        let many = SampleFrame(records: [[UInt8]](repeating: [1, 2], count: 65_536))
        #expect(try decoded(encoded(many)) == many)
        let fields = SampleFrame(
            fields: [SampleField(kind: .configuration, value: [UInt8](repeating: 3, count: 65_524))], records: [[9]])
        #expect(try decoded(encoded(fields)) == fields)
    }

    @Test func aRecordIsFoundByItsIndex() throws {
        let frame = SampleBatch.several.frames[1]
        try withGuarded(encoded(frame)) { bytes throws in
            let view = try FrameView(checking: bytes)
            for (index, record) in frame.records.enumerated() {
                #expect(Array(view.record(at: index)) == record)
                #expect(Array(view.bytes[view.recordRange(at: index)]) == record)
            }
            #expect(view.header.byteCount == UInt32(bytes.count))
        }
    }

    @Test func recordsAreWalkedFromAnyIndexAndUntilTheReaderStops() throws {
        let frame = SampleBatch.several.frames[1]
        try withGuarded(encoded(frame)) { bytes throws in
            let view = try FrameView(checking: bytes)
            for start in 0...frame.records.count + 1 {
                for limit in 1...5 {
                    #expect(
                        records(of: view, from: start, limit: limit) == frame.records.dropFirst(start).prefix(limit))
                }
            }
        }
    }

    private func records(of view: FrameView, from start: Int, limit: Int) -> ArraySlice<[UInt8]> {
        var seen: ArraySlice<[UInt8]> = []
        view.forEachRecord(from: start) { index, record in
            #expect(index == start + seen.count)
            seen.append(Array(record))
            return seen.count < limit
        }
        return seen
    }

    @Test func aHeaderIsReadWithoutTheRest() throws {
        let frame = SampleBatch.several.frames[1]
        let header = try withGuarded(Array(encoded(frame)[..<FrameHeader.byteCount])) { try FrameHeader(decoding: $0) }
        #expect(header.byteCount == UInt32(frame.frameBytes))
        #expect(header.recordCount == 4 && header.fieldsBytes == 32)
    }

    @Test func whatFollowsTheFrameIsIgnored() throws {
        let frame = SampleBatch.several.frames[1]
        #expect(try decoded(encoded(frame) + [1, 2, 3]) == frame)
    }

    @Test func everyTruncationIsRefused() {
        for frame in SampleBatch.several.frames {
            let bytes = encoded(frame)
            for count in 0..<bytes.count {
                let needed = count < FrameHeader.byteCount ? FrameHeader.byteCount : bytes.count
                #expect(throws: FormatError.truncated(needed: needed, available: count)) {
                    try decoded(Array(bytes[..<count]))
                }
            }
        }
    }

    @Test func everyFlippedBitIsRefusedAndNeverTakenForANewerVersion() {
        for frame in SampleBatch.several.frames {
            let bytes = encoded(frame)
            for bit in 0..<bytes.count * 8 {
                let error = refusal { () throws(FormatError) in _ = try decoded(bytes.flippingBit(bit)) }
                guard error == .checksumMismatch || bit < 32 && error?.needsNewerVersion == false else {
                    Issue.record("bit \(bit): \(error.debugDescription)")
                    continue
                }
            }
        }
    }

    @Test func everyUnknownKindIsRefused() {
        for kind in [UInt8(0)] + Array(11...UInt8.max) {
            #expect(throws: FormatError.unknownKind(kind)) { try decoded(forged(kind, at: 8)) }
        }
    }

    @Test func everyFlagIsRefused() {
        for flags in 1...UInt8.max {
            #expect(throws: FormatError.unknownFlags(flags)) { try decoded(forged(flags, at: 9)) }
        }
    }

    @Test func anUnknownFieldIsRefused() {
        #expect(throws: FormatError.unknownField(9)) { try decoded(forged(UInt16(9), at: FrameHeader.byteCount)) }
    }

    @Test func theReservedNumberMustBeZero() {
        #expect(throws: FormatError.nonZeroReserved) { try decoded(forged(UInt32(0x0100_0000), at: 44)) }
    }

    @Test(arguments: [8, 24, 28, 29, 33, 40, 65_535])
    func fieldsOfAnotherLengthAreRefused(fieldsBytes: Int) {
        #expect(throws: FormatError.badLength) { try decoded(forged(UInt16(fieldsBytes), at: 10)) }
    }

    /// The padding hides these from the frame's length, so the fields have to be looked at.
    @Test func fieldsThatEndInsideAWordAreRefused() {
        let frame = SampleFrame(records: [[1]])
        for fieldsBytes in 1...3 {
            #expect(throws: FormatError.badLength) { try decoded(forged(UInt16(fieldsBytes), at: 10, in: frame)) }
        }
    }

    @Test func theLargestLengthsAreRefusedWithoutOverflow() {
        #expect(throws: FormatError.badLength) { try decoded(forged(UInt32.max, at: 12)) }
        #expect(throws: FormatError.badLength) { try decoded(forged(UInt32.max, at: 40)) }
        var bytes = forged(UInt32.max, at: 12)
        bytes.store(UInt32.max, at: 40)
        bytes.store(UInt16.max - 7, at: 10)
        bytes.repairFrameChecksum(at: 0)
        #expect(throws: FormatError.badLength) { try decoded(bytes) }
    }

    @Test func offsetsThatOverflowAreRefused() throws {
        let frame = SampleBatch.several.frames[1]
        let last = UInt64.max - UInt64(frame.records.count)
        #expect(try decoded(forged(last, at: 24)).firstOffset == RecordOffset(rawValue: last))
        #expect(throws: FormatError.badLength) { try decoded(forged(last + 1, at: 24)) }
    }

    @Test func aFrameShorterThanItsHeaderOrOfPartWordsIsRefused() {
        var bytes = encoded(SampleBatch.several.frames[1])
        for byteCount in Array(0..<UInt32(FrameHeader.byteCount)) + [49, 52, 55] {
            bytes.store(byteCount, at: 0)
            #expect(throws: FormatError.badLength) { try decoded(bytes) }
        }
    }

    @Test func recordLengthsThatMissThePayloadAreRefused() {
        let lengths = FrameHeader.byteCount + 32
        #expect(throws: FormatError.badRecordLengths) { try decoded(forged(UInt32(4), at: lengths)) }
        #expect(throws: FormatError.badRecordLengths) { try decoded(forged(UInt32(6), at: lengths)) }
        #expect(throws: FormatError.badRecordLengths) { try decoded(forged(UInt32.max, at: lengths)) }
    }

    /// 2^32 - 1 and 6 make 5 in 32 bits: the sum must be taken wider.
    @Test func recordLengthsThatWrapAroundAreRefused() {
        var bytes = encoded(SampleFrame(records: [[1], [2, 3, 4, 5]]))
        bytes.store(UInt32.max, at: FrameHeader.byteCount)
        bytes.store(UInt32(6), at: FrameHeader.byteCount + 4)
        bytes.repairFrameChecksum(at: 0)
        #expect(throws: FormatError.badRecordLengths) { try decoded(bytes) }
    }

    @Test func everyForgedPaddingBitIsRefused() {
        let frame = SampleFrame(records: [[1]])
        let bytes = encoded(frame)
        for bit in 53 * 8..<56 * 8 {
            var forged = bytes.flippingBit(bit)
            forged.repairFrameChecksum(at: 0)
            #expect(throws: FormatError.nonZeroPadding) { try decoded(forged) }
        }
    }

    @Test func aRecordBeyondTheLastTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let frame = SampleFrame(records: [[1], [2]])
            let staging = StagingBuffer(capacityBytes: 4096)
            let offset = staging.add(frame)
            let bytes = UnsafeRawBufferPointer(start: staging.storage + offset, count: frame.frameBytes)
            _ = try FrameView(checking: bytes).record(at: 2)
        }
        expectTrap("no such record in the frame", result)
    }
}
