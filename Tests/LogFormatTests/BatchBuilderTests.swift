import Testing

@testable import LogFormat

@Suite struct BatchBuilderTests {
    private static let small = SampleFrame(records: [[1, 2, 3]])

    private func sealed(_ staging: StagingBuffer, blockBytes: Int = 4096) -> BatchHeader {
        staging.builder.seal(
            number: BatchNumber(rawValue: 1), durableThrough: .zero, storeID: SampleBatch.several.storeID,
            epoch: Epoch(rawValue: 1), previousCRC: 0, position: .zero, blockBytes: blockBytes)
    }

    @Test func anEmptyBuilderHoldsTheRoomOfTheHeader() {
        let staging = StagingBuffer(capacityBytes: 4096)
        #expect(staging.builder.byteCount == 64)
        #expect(staging.builder.frameCount == 0)
        #expect(staging.builder.isEmpty)
    }

    @Test func framesFollowEachOther() {
        let staging = StagingBuffer(capacityBytes: 4096)
        var expected = BatchHeader.byteCount
        for (index, frame) in SampleBatch.several.frames.enumerated() {
            #expect(staging.add(frame) == expected)
            expected += frame.frameBytes
            #expect(staging.builder.byteCount == expected)
            #expect(staging.builder.frameCount == index + 1)
            #expect(!staging.builder.isEmpty)
        }
    }

    @Test func aFrameFitsUpToTheLastByte() {
        let staging = StagingBuffer(capacityBytes: 4096)
        #expect(staging.builder.fits(frameBytes: 4096 - 64))
        #expect(!staging.builder.fits(frameBytes: 4096 - 63))
        staging.add(Self.small)
        let room = 4096 - 64 - Self.small.frameBytes
        #expect(staging.builder.fits(frameBytes: room))
        #expect(!staging.builder.fits(frameBytes: room + 1))
    }

    @Test func aFrameThatFitsExactlyIsAddedAndReadBack() throws {
        let exact = SampleFrame(records: [[UInt8](repeating: 9, count: 4096 - 64 - 48 - 4)])
        #expect(exact.frameBytes == 4096 - 64)
        let staging = StagingBuffer(capacityBytes: 4096)
        staging.add(exact)
        #expect(!staging.builder.fits(frameBytes: 8) && staging.builder.fits(frameBytes: 0))
        #expect(sealed(staging).paddedBytes(blockBytes: 4096) == 4096)
        #expect(try SampleBatch(decoding: staging.bytes(4096)).frames == [exact])
    }

    @Test func sealingZeroesToTheBlockAndNotFurther() {
        let staging = StagingBuffer(capacityBytes: 8192)
        staging.add(Self.small)
        let header = sealed(staging)
        let bytes = staging.bytes(8192)
        #expect(header.paddedBytes(blockBytes: 4096) == 4096)
        #expect(bytes[Int(header.byteCount)..<4096].allSatisfy { $0 == 0 })
        #expect(bytes[4096...].allSatisfy { $0 == 0xA5 })
    }

    @Test func theHeaderReturnedIsTheHeaderOnDisk() throws {
        let staging = StagingBuffer(capacityBytes: 4096)
        staging.add(Self.small)
        let header = sealed(staging)
        let view = try BatchView(checking: UnsafeRawBufferPointer(start: staging.storage, count: 4096))
        #expect(view.header == header)
        #expect(header.crc == staging.bytes(4096).checksum(of: 8..<Int(header.byteCount)))
        #expect(header.frameCount == 1 && header.byteCount == UInt32(64 + Self.small.frameBytes))
    }

    @Test func aBuilderThatWasResetBeginsAnew() throws {
        let staging = StagingBuffer(capacityBytes: 4096)
        staging.add(SampleBatch.several.frames[1])
        _ = sealed(staging)
        staging.builder.reset()
        #expect(staging.builder.isEmpty && staging.builder.byteCount == 64)
        staging.add(Self.small)
        _ = sealed(staging)
        #expect(try SampleBatch(decoding: staging.bytes(4096)).frames == [Self.small])
    }

    @Test func largeFramesAnywhereGiveTheSameChecksum() throws {
        let large = SampleFrame(records: [(0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 29 >> 2) }])
        let other = SampleFrame(records: [[UInt8](repeating: 7, count: 16 << 10), [1]])
        let orders = [
            [large], [Self.small, large], [large, Self.small], [large, other, Self.small, Self.small, large],
        ]
        let staging = StagingBuffer(capacityBytes: 256 << 10)
        for frames in orders {
            staging.builder.reset()
            for frame in frames { staging.add(frame) }
            let header = sealed(staging)
            let bytes = staging.bytes(header.paddedBytes(blockBytes: 4096))
            #expect(header.crc == bytes.checksum(of: 8..<Int(header.byteCount)))
            #expect(try SampleBatch(decoding: bytes).frames == frames)
        }
    }

    @Test func paddingEndsAtTheNextBlock() {
        var header = BatchHeader(
            byteCount: 4096, frameCount: 1, number: .zero, durableThrough: .zero, storeID: SampleBatch.several.storeID,
            epoch: Epoch(rawValue: 1), previousCRC: 0, position: .zero)
        #expect(header.paddedBytes(blockBytes: 4096) == 4096)
        #expect(header.paddedBytes(blockBytes: 512) == 4096)
        header.byteCount = 4104
        #expect(header.paddedBytes(blockBytes: 4096) == 8192)
        #expect(header.paddedBytes(blockBytes: 512) == 4608)
    }
}

/// What a caller must not do ends the process before a byte is written beyond the storage or an unreadable frame is
/// acknowledged.
@Suite struct BatchBuilderTrapTests {
    @Test func aFrameBeyondTheCapacityTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            // One byte more than fits, and the padding that comes with it.
            StagingBuffer(capacityBytes: 4096).add(SampleFrame(records: [[UInt8](repeating: 9, count: 3981)]))
        }
        expectTrap("the frame does not fit the batch", result)
    }

    @Test func aSecondFrameBeyondTheCapacityTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 4096)
            for _ in 0..<3 { staging.add(SampleFrame(records: [[UInt8](repeating: 9, count: 1400)])) }
        }
        expectTrap("the frame does not fit the batch", result)
    }

    @Test func aFrameBehindTheSealTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 4096)
            staging.add(SampleFrame(records: [[1]]))
            sealForTrap(staging)
            staging.add(SampleFrame(records: [[1]]))
        }
        expectTrap("a sealed batch takes no frames", result)
    }

    @Test func sealingTwiceTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 4096)
            staging.add(SampleFrame(records: [[1]]))
            sealForTrap(staging)
            sealForTrap(staging)
        }
        expectTrap("a batch is sealed once, and only with frames in it", result)
    }

    @Test func sealingAnEmptyBatchTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            sealForTrap(StagingBuffer(capacityBytes: 4096))
        }
        expectTrap("a batch is sealed once, and only with frames in it", result)
    }

    @Test func paddingBeyondTheCapacityTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 2048)
            staging.add(SampleFrame(records: [[1]]))
            sealForTrap(staging)
        }
        expectTrap("the padding does not fit the staging buffer", result)
    }

    @Test func lengthsThatMissThePayloadTrap() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 4096)
            let header = SampleFrame(records: [[1, 2, 3]]).header
            _ = staging.builder.addFrame(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) { lengths, _ in
                lengths.storeBytes(of: UInt32(2).littleEndian, as: UInt32.self)
            }
        }
        expectTrap("a frame was written that could not be read again", result)
    }

    @Test func fieldsThatAreNoneTrap() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            addFields([UInt8](repeating: 0xFF, count: 8))
        }
        expectTrap("a frame was written that could not be read again", result)
    }

    @Test func fieldsOfPartWordsTrap() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            addFields([1, 0, 0, 0])
        }
        expectTrap("fields of a wrong length", result)
    }

    @Test func moreFieldsThanAFrameHoldsTrap() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            addFields([UInt8](repeating: 0, count: 65_536))
        }
        expectTrap("fields of a wrong length", result)
    }

    @Test func offsetsThatOverflowTrap() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 4096)
            staging.add(SampleFrame(firstOffset: RecordOffset(rawValue: .max), records: [[1]]))
        }
        expectTrap("offsets of the frame's records overflow", result)
    }

    @Test func aBatchBeyondTheLargestPositionTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let staging = StagingBuffer(capacityBytes: 4096)
            staging.add(SampleFrame(records: [[1]]))
            sealForTrap(staging, position: Position(rawValue: UInt64(Int64.max)))
        }
        expectTrap("could not be read again", result)
    }
}

private func sealForTrap(_ staging: StagingBuffer, position: Position = .zero) {
    _ = staging.builder.seal(
        number: BatchNumber(rawValue: 1), durableThrough: .zero, storeID: SampleBatch.several.storeID,
        epoch: Epoch(rawValue: 1), previousCRC: 0, position: position, blockBytes: 4096)
}

private func addFields(_ fields: [UInt8]) {
    let staging = StagingBuffer(capacityBytes: 1 << 20)
    fields.withUnsafeBytes { _ = staging.builder.addFrame(SampleFrame().header, fields: $0) { _, _ in } }
}
