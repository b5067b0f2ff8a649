@testable import LogFormat

/// Input: a control byte, four bytes that choose a bit to flip, and either a batch or, if bit 1 of the control byte is
/// set, a description of one to build. Bit 0: put the checksums right first.
enum BatchTarget {
    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let control = reader.byte()
        let bit = Int(reader.integer(UInt32.self))
        var bytes = control & 2 == 0 ? reader.remainder() : built(from: &reader)
        if control & 1 == 1 { _ = bytes.repairBatch(at: 0, limit: bytes.count) }
        let isAccepted = withExactMemory(bytes, check)
        require(control & 2 == 0 || isAccepted, "a batch that was built is refused")
        guard isAccepted else { return }
        let byteCount = Int(bytes.integer(at: 8, as: UInt32.self))
        require(!accepts(bytes.flippingBit(bit % (byteCount * 8))), "a batch with a flipped bit is accepted")
        require(!accepts(Array(bytes[..<(bit % byteCount)])), "a part of a batch is accepted")
        require(accepts(Array(bytes[..<byteCount])), "a batch is refused without what follows it")
    }

    private static func accepts(_ bytes: [UInt8]) -> Bool {
        withExactMemory(bytes) { (try? BatchView(checking: $0)) != nil }
    }

    /// True if the bytes are a batch; then it says the same when it is read and written again.
    private static func check(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard var view = try? BatchView(checking: bytes) else { return false }
        let header = view.header
        require(Int(header.byteCount) <= bytes.count, "a batch reaches beyond its bytes")
        var copy = Copy(byteCount: Int(header.byteCount))
        var frameCount = 0
        var end = BatchHeader.byteCount
        while let frame = try! view.nextFrame() {
            checkFrame(frame)
            copy.add(frame)
            frameCount += 1
            end += frame.bytes.count
            require(view.nextFrameOffset == end, "the frames do not follow one another")
        }
        require(frameCount == Int(header.frameCount) && end == Int(header.byteCount), "the counts of a batch are wrong")
        require(copy.sealed(like: header).elementsEqual(bytes[..<end]), "a batch written again has other bytes")
        return true
    }

    private static func checkFrame(_ frame: FrameView) {
        let whole = Array(frame.bytes)
        require(withExactMemory(whole) { (try? FrameView(checking: $0)) != nil }, "a frame of a batch is refused alone")
        var recordBytes = 0
        var next = 0
        frame.forEachRecord(from: 0) { index, record in
            require(index == next, "records are counted wrongly")
            if index < 64 { require(record.elementsEqual(frame.record(at: index)), "two ways to a record differ") }
            next += 1
            recordBytes += record.count
            return true
        }
        require(next == Int(frame.header.recordCount), "records are missing from a walk")
        require(recordBytes == Int(frame.header.payloadBytes), "the records are not the payload")
    }

    /// A batch from a description: a kind, a count of fields and records, their lengths, their bytes.
    private static func built(from reader: inout InputReader) -> [UInt8] {
        var frames: [(header: FrameHeader, fields: [UInt8], records: [[UInt8]])] = []
        repeat {
            let kinds = FrameKind.allCases
            let kind = kinds[Int(reader.byte()) % kinds.count]
            let parts = reader.byte()
            var fields = FieldWriter()
            for _ in 0..<parts & 3 {
                let field = FieldKind.allCases[Int(reader.byte()) % FieldKind.allCases.count]
                fields.append(field, reader.bytes(Int(reader.byte())))
            }
            let records = (0..<parts >> 4).map { _ in reader.bytes(Int(reader.byte())) }
            let header = FrameHeader(
                kind: kind, recordCount: UInt32(records.count), logID: LogID(rawValue: reader.integer()),
                firstOffset: RecordOffset(rawValue: reader.integer() >> 1),
                timestamp: Timestamp(rawValue: reader.integer()),
                payloadBytes: UInt32(records.reduce(0) { $0 + $1.count }))
            frames.append((header, fields.bytes, records))
        } while !reader.isEmpty && frames.count < 16
        let byteCount = frames.reduce(BatchHeader.byteCount) { sum, frame in
            sum
                + FrameHeader.frameBytes(
                    fieldsBytes: frame.fields.count, recordCount: frame.records.count,
                    payloadBytes: Int(frame.header.payloadBytes))
        }
        var copy = Copy(byteCount: byteCount)
        for frame in frames { copy.add(frame.header, frame.fields, frame.records) }
        return copy.sealed()
    }
}

/// A batch being written with the code under test.
private struct Copy: ~Copyable {
    private let storage: UnsafeMutableRawBufferPointer
    private var builder: BatchBuilder

    init(byteCount: Int) {
        storage = .allocate(byteCount: byteCount, alignment: 8)
        storage.initializeMemory(as: UInt8.self, repeating: 0xA5)
        builder = BatchBuilder(storage: storage.baseAddress!, capacityBytes: byteCount)
    }

    deinit { storage.deallocate() }

    mutating func add(_ frame: FrameView) {
        var fields = FieldWriter()
        for field in frame.fields { fields.append(field.kind, field.value) }
        var records: [[UInt8]] = []
        frame.forEachRecord(from: 0) { _, record in
            records.append(Array(record))
            return true
        }
        add(frame.header, fields.bytes, records)
    }

    mutating func add(_ header: FrameHeader, _ fields: [UInt8], _ records: [[UInt8]]) {
        fields.withUnsafeBytes { fields in
            _ = builder.addFrame(header, fields: fields) { lengths, payload in
                var end = 0
                for (index, record) in records.enumerated() {
                    lengths.storeBytes(of: UInt32(record.count).littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                    UnsafeMutableRawBufferPointer(rebasing: payload[end...]).copyBytes(from: record)
                    end += record.count
                }
            }
        }
    }

    consuming func sealed(like header: BatchHeader? = nil) -> [UInt8] {
        _ = builder.seal(
            number: header?.number ?? BatchNumber(rawValue: 1), durableThrough: header?.durableThrough ?? .zero,
            storeID: header?.storeID ?? StoreID(first: 1, second: 2), epoch: header?.epoch ?? Epoch(rawValue: 1),
            previousCRC: header?.previousCRC ?? 0, position: header?.position ?? Position(rawValue: 512), blockBytes: 8)
        return Array(storage[..<builder.byteCount])
    }
}
