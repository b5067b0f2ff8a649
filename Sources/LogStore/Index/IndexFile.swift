import LogFormat

/// The index file of a sealed segment.
///
/// On disk, little-endian: magic "ALOGIDX1", u32 version, u32 count of runs, store id, u64 position of the segment,
/// u64 bytes of the file, u32 zero, u32 CRC32C of the bytes before it and of the table behind it; the table: for each
/// run of a log u64 log id, u64 first offset, u64 offset behind the last record, u64 first timestamp, u32 bytes of its
/// records, u32 bytes of its frames, u32 start of its block, u32 count of its entries; the blocks: u32 CRC32C of the entries, u32 log id's low half, then for each
/// entry u64 offset, u64 timestamp, u32 place of the frame, u32 end of its batch, u32 bytes of the records, u32 bytes of
/// the frames.
struct IndexFile {
    /// One run of the table: records of a log whose offsets follow each other. What was appended in the segment is one; each
    /// row of records that was moved there is another.
    struct Row: Equatable {
        let log: LogID
        let first: RecordOffset
        /// Behind the last record.
        let end: RecordOffset
        let timestamp: Timestamp
        let payloadBytes: UInt32
        let frameBytes: UInt32
        let blockStart: UInt32
        let entryCount: UInt32
    }

    private static let magic: [UInt8] = Array("ALOGIDX1".utf8)
    private static let version: UInt32 = 3
    static let headerBytes = 56
    static let rowBytes = 48
    static let blockHeaderBytes = 8
    static let entryBytes = 32

    /// The bytes of an index file, and its table.
    static func encode(
        storeID: StoreID, segment: Position, runs: [(log: LogID, run: IndexRun)]
    ) -> (bytes: [UInt8], rows: [Row]) {
        var rows: [Row] = []
        rows.reserveCapacity(runs.count)
        var byteCount = headerBytes + runs.count * rowBytes
        for (log, run) in runs {
            rows.append(Row(log, run, blockStart: UInt32(byteCount)))
            byteCount += blockBytes(entryCount: run.entries.count)
        }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        unsafe bytes.withUnsafeMutableBytes { buffer in
            var writer = unsafe PlacedWriter(buffer)
            for byte in magic { writer.put(byte) }
            writer.put(version)
            writer.put(UInt32(runs.count))
            writer.put(storeID.first)
            writer.put(storeID.second)
            writer.put(segment.rawValue)
            writer.put(UInt64(byteCount))
            let head = writer.checksum(from: 0)
            let crcPlace = writer.place
            writer.place = headerBytes
            for row in rows { writer.put(row) }
            writer.put(writer.checksum(from: headerBytes, continuing: head), at: crcPlace)
            for (log, run) in runs { writer.put(block: run.entries, of: log) }
        }
        return (bytes, rows)
    }

    /// As the other one, from the bytes of a file.
    static func rows(contents: [UInt8], storeID: StoreID, segment: Position) throws(FormatError) -> [Row] {
        let result: Result<[Row], FormatError> = unsafe contents.withUnsafeBytes { buffer in
            do throws(FormatError) {
                return .success(unsafe try rows(decoding: buffer, storeID: storeID, segment: segment))
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The table of a whole index file of this store and segment; throws a `FormatError` for anything else.
    static func rows(
        decoding bytes: UnsafeRawBufferPointer, storeID: StoreID, segment: Position
    ) throws(FormatError) -> [Row] {
        var reader = unsafe ByteReader(bytes)
        let magic = unsafe try reader.readBytes(Self.magic.count)
        guard unsafe magic.elementsEqual(Self.magic) else { throw .badMagic }
        let version: UInt32 = try reader.read()
        guard version == Self.version else { throw .unsupportedVersion(version) }
        let count = Int(try reader.read(UInt32.self))
        let store = StoreID(first: try reader.read(), second: try reader.read())
        let position: UInt64 = try reader.read()
        let fileBytes: UInt64 = try reader.read()
        let covered = reader.offset
        let crc: UInt32 = try reader.read()
        _ = try reader.read(UInt32.self)
        guard store == storeID, position == segment.rawValue, fileBytes == UInt64(bytes.count) else { throw .badLength }
        let table = unsafe try reader.readBytes(count * rowBytes)
        let head = unsafe CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<covered]))
        guard unsafe CRC32C.checksum(table, continuing: head) == crc else { throw .checksumMismatch }
        return unsafe try decode(table, count: count)
    }

    private static func decode(_ table: UnsafeRawBufferPointer, count: Int) throws(FormatError) -> [Row] {
        var reader = unsafe ByteReader(table)
        var rows: [Row] = []
        rows.reserveCapacity(count)
        for _ in 0..<count {
            let row = Row(
                log: LogID(rawValue: try reader.read()), first: RecordOffset(rawValue: try reader.read()),
                end: RecordOffset(rawValue: try reader.read()), timestamp: Timestamp(rawValue: try reader.read()),
                payloadBytes: try reader.read(), frameBytes: try reader.read(), blockStart: try reader.read(),
                entryCount: try reader.read())
            guard row.first < row.end else { throw .badField }
            rows.append(row)
        }
        return rows
    }

    /// The bytes that a block of so many entries takes in the file.
    static func blockBytes(entryCount: Int) -> Int { blockHeaderBytes + entryCount * entryBytes }

    /// The entries of one log; throws a `FormatError` where the block is damaged or another log's.
    static func entries(
        decoding block: UnsafeRawBufferPointer, log: LogID
    ) throws(FormatError) -> [IndexEntry] {
        var reader = unsafe ByteReader(block)
        let crc: UInt32 = try reader.read()
        let low: UInt32 = try reader.read()
        guard low == UInt32(truncatingIfNeeded: log.rawValue) else { throw .badLength }
        let rest = unsafe UnsafeRawBufferPointer(rebasing: block[blockHeaderBytes...])
        guard unsafe CRC32C.checksum(rest) == crc else { throw .checksumMismatch }
        var entries: [IndexEntry] = []
        while reader.remainingBytes > 0 {
            entries.append(
                IndexEntry(
                    offset: RecordOffset(rawValue: try reader.read()),
                    timestamp: Timestamp(rawValue: try reader.read()), frame: try reader.read(),
                    batchEnd: try reader.read(), payloadBytes: try reader.read(), frameBytes: try reader.read()))
        }
        return entries
    }
}

extension IndexFile.Row {
    /// The row of a run whose entries (one at least) lie in a block that begins there.
    init(_ log: LogID, _ run: IndexRun, blockStart: UInt32) {
        let entries = run.entries
        let first = entries[entries.startIndex]
        var (payload, frames) = (UInt32.zero, UInt32.zero)
        // A file that was read may hold any numbers under a right checksum.
        for entry in entries {
            payload &+= entry.payloadBytes
            frames &+= entry.frameBytes
        }
        self.init(
            log: log, first: first.offset, end: run.end, timestamp: first.timestamp, payloadBytes: payload,
            frameBytes: frames,
            blockStart: blockStart, entryCount: UInt32(entries.count))
    }
}

/// Writes little-endian integers into memory of the right size, one behind the other.
@safe
private struct PlacedWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    var place = 0

    init(_ bytes: UnsafeMutableRawBufferPointer) {
        unsafe self.bytes = unsafe bytes
    }

    mutating func put<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
        put(value, at: place)
        place += MemoryLayout<Value>.size
    }

    func put<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at place: Int) {
        unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: place, as: Value.self)
    }

    mutating func put(_ row: IndexFile.Row) {
        put(row.log.rawValue)
        put(row.first.rawValue)
        put(row.end.rawValue)
        put(row.timestamp.rawValue)
        put(row.payloadBytes)
        put(row.frameBytes)
        put(row.blockStart)
        put(row.entryCount)
    }

    mutating func put(block entries: ArraySlice<IndexEntry>, of log: LogID) {
        let start = place
        place += 4
        put(UInt32(truncatingIfNeeded: log.rawValue))
        for entry in entries {
            put(entry.offset.rawValue)
            put(entry.timestamp.rawValue)
            put(entry.frame)
            put(entry.batchEnd)
            put(entry.payloadBytes)
            put(entry.frameBytes)
        }
        put(checksum(from: start + IndexFile.blockHeaderBytes), at: start)
    }

    /// Over what was written from `start` on.
    func checksum(from start: Int, continuing: UInt32 = 0) -> UInt32 {
        unsafe CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[start..<place]), continuing: continuing)
    }
}
