@testable import HTTPFrontEnd
@testable import LogStore

/// Input: a control byte, two bytes that limit a record, and a body. Control: bits 0–1 choose the form, bits 2–5 the limit
/// of the count, the rest where the body is cut when it comes in pieces.
enum BodyTarget {
    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let control = reader.byte()
        let recordBytesMax = Int(reader.integer(UInt16.self))
        let recordCountMax = Int(control >> 2 & 15) * 16 + 1
        let bytes = reader.remainder()
        let encoding: RecordBody.Encoding = [.whole, .lines, .framed, .framed][Int(control & 3)]
        let expected = reference(bytes, encoding)
        let pieceBytes = max(1, Int(control) + recordBytesMax % 7)
        require(pieced(bytes, pieceBytes) == bytes, "a body that came in pieces is another one")
        withExactMemory(bytes) { memory in
            do throws(RecordBody.Refusal) {
                let body = try RecordBody(
                    memory, encoding: encoding, recordBytesMax: recordBytesMax, recordCountMax: recordCountMax)
                require(!expected.isMalformed, "a malformed body is taken")
                check(body, expected.records, recordBytesMax, recordCountMax)
            } catch {
                check(error, expected, recordBytesMax, recordCountMax)
            }
        }
    }

    private static func check(_ body: RecordBody, _ records: [[UInt8]], _ recordBytesMax: Int, _ recordCountMax: Int) {
        require(body.recordCount == records.count && records.count <= recordCountMax, "records are counted wrongly")
        require(records.allSatisfy { $0.count <= recordBytesMax }, "a record over the limit is taken")
        let payload = Array(records.joined())
        require(body.payloadBytes == payload.count, "bytes are counted wrongly")
        let written = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count, alignment: 1)
        let lengths = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * records.count, alignment: 4)
        defer {
            written.deallocate()
            lengths.deallocate()
        }
        body.write(lengths: lengths, payload: written)
        require(written.elementsEqual(payload), "the records that are staged are not those of the body")
        for (index, record) in records.enumerated() {
            let length = UInt32(littleEndian: lengths.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
            require(Int(length) == record.count, "a length that is staged is wrong")
        }
    }

    private static func check(
        _ refusal: RecordBody.Refusal, _ expected: (records: [[UInt8]], isMalformed: Bool), _ recordBytesMax: Int,
        _ recordCountMax: Int
    ) {
        switch refusal {
        case .empty: require(expected.records.isEmpty && !expected.isMalformed, "a body with records is called empty")
        case .malformed(let place):
            let before = expected.records.reduce(0) { $0 + 4 + $1.count }
            require(expected.isMalformed && place == before, "a body is called malformed at the wrong place")
        case .recordTooLarge(let index, let bytes):
            require(
                expected.records[index].count == bytes && bytes > recordBytesMax, "the wrong record is called too large"
            )
        case .tooManyRecords: require(expected.records.count > recordCountMax, "too many records are seen")
        }
    }

    /// The records, found in the plainest way.
    private static func reference(
        _ bytes: [UInt8], _ encoding: RecordBody.Encoding
    ) -> (records: [[UInt8]], isMalformed: Bool) {
        switch encoding {
        case .whole: return (bytes.isEmpty ? [] : [bytes], false)
        case .lines:
            let lines = bytes.split(separator: 0x0A).map { $0.last == 0x0D ? Array($0.dropLast()) : Array($0) }
            return (lines.filter { !$0.isEmpty }, false)
        case .framed:
            var records: [[UInt8]] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                guard rest.count >= 4 else { return (records, true) }
                let length = Array(rest.prefix(4)).integer(at: 0, as: UInt32.self)
                rest = rest.dropFirst(4)
                guard rest.count >= Int(length) else { return (records, true) }
                records.append(Array(rest.prefix(Int(length))))
                rest = rest.dropFirst(Int(length))
            }
            return (records, false)
        }
    }

    /// The body as the front end gathers it from pieces of so many bytes.
    private static func pieced(_ bytes: [UInt8], _ pieceBytes: Int) -> [UInt8] {
        var buffer = BodyBuffer()
        var start = 0
        while start < bytes.count {
            let piece = Array(bytes[start..<min(bytes.count, start + pieceBytes)])
            buffer.reserve(max(buffer.byteCount + piece.count, buffer.capacityBytes))
            withExactMemory(piece) { buffer.append($0) }
            start += pieceBytes
        }
        return Array(buffer.bytes)
    }
}
