import LogFormat

@testable import CommitLog

/// Batches and segments made by hand, for what no log would write.
enum Crafted {
    /// A batch with one append frame for each record, padded to whole blocks.
    static func batch(
        _ header: BatchHeader, records: [[UInt8]], blockBytes: Int = 4096, firstOffset: RecordOffset = .zero
    ) -> [UInt8] {
        let capacity = 1 << 20
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 4096)
        defer { storage.deallocate() }
        var builder = BatchBuilder(storage: storage.baseAddress!, capacityBytes: capacity)
        for (index, record) in records.enumerated() { append(record, firstOffset + index, to: &builder) }
        let sealed = builder.seal(
            number: header.number, durableThrough: header.durableThrough, storeID: header.storeID,
            epoch: header.epoch, previousCRC: header.previousCRC, position: header.position, blockBytes: blockBytes)
        return Array(storage[..<sealed.paddedBytes(blockBytes: blockBytes)])
    }

    private static func append(_ record: [UInt8], _ offset: RecordOffset, to builder: inout BatchBuilder) {
        let header = FrameHeader(
            kind: .append, recordCount: 1, logID: LogID(rawValue: 1), firstOffset: offset,
            timestamp: Timestamp(rawValue: 1_000_000 + offset.rawValue), payloadBytes: UInt32(record.count))
        _ = builder.addFrame(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) { lengths, payload in
            lengths.storeBytes(of: UInt32(record.count).littleEndian, as: UInt32.self)
            payload.copyBytes(from: record)
        }
    }

    /// The header of the batch that would follow at a place.
    static func follower(of chain: ChainState, storeID: StoreID, at position: Position) -> BatchHeader {
        BatchHeader(
            byteCount: 0, frameCount: 0, number: chain.number.next, durableThrough: chain.number, storeID: storeID,
            epoch: chain.epoch, previousCRC: chain.crc, position: position)
    }

    /// A segment file's first block, with a right checksum whatever the change made of it.
    static func header(_ header: SegmentHeader, change: (inout SegmentHeader) -> Void) -> [UInt8] {
        var header = header
        change(&header)
        var bytes = [UInt8](repeating: 0, count: Int(header.blockBytes))
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        return bytes
    }

    /// Puts right checksums over a batch of one frame that was changed.
    static func resealed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let frame = BatchHeader.byteCount
        store(checksum(bytes[(frame + 8)...]), at: frame + 4, in: &bytes)
        store(checksum(bytes[8...]), at: 4, in: &bytes)
        return bytes
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBytes { CRC32C.checksum($0) }
    }

    private static func store(_ value: UInt32, at offset: Int, in bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
    }
}

extension ScratchDirectory {
    /// The header of a segment file.
    func header(_ file: String) throws -> SegmentHeader {
        let bytes = try contents(file) ?? []
        return try bytes.withUnsafeBytes { try SegmentHeader(decoding: $0) }
    }
}
