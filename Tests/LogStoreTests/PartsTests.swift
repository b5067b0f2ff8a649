import LogFormat
import Testing

@testable import LogStore

private func split(
    _ bytes: [UInt8], _ encoding: RecordBody.Encoding, recordBytesMax: Int = 100, recordCountMax: Int = 10
) throws -> [[UInt8]] {
    try bytes.withUnsafeBytes { buffer in
        let body = try RecordBody(
            buffer, encoding: encoding, recordBytesMax: recordBytesMax, recordCountMax: recordCountMax)
        var lengths = [UInt32](repeating: 0, count: body.recordCount)
        var payload = [UInt8](repeating: 0, count: body.payloadBytes)
        lengths.withUnsafeMutableBytes { lengths in
            payload.withUnsafeMutableBytes { body.write(lengths: lengths, payload: $0) }
        }
        var records: [[UInt8]] = []
        var place = 0
        for length in lengths {
            records.append(Array(payload[place..<place + Int(length)]))
            place += Int(length)
        }
        #expect(place == body.payloadBytes)
        return records
    }
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Test(arguments: [
    ("a\nb\n", ["a", "b"]), ("a\nb", ["a", "b"]), ("a\r\nb\r\n", ["a", "b"]), ("\n\na\n\r\n\nb", ["a", "b"]),
    (" a \n", [" a "]), ("a\rb\n", ["a\rb"]), ("a\r\r\n", ["a\r"]), ("{\"x\":1}", ["{\"x\":1}"]),
])
func linesAreCutAtTheirEnds(body: String, expected: [String]) throws {
    #expect(try split(bytes(body), .lines) == expected.map(bytes))
}

@Test func framedRecordsAreCutByTheirLengths() throws {
    #expect(try split([2, 0, 0, 0, 7, 8, 0, 0, 0, 0, 1, 0, 0, 0, 9], .framed) == [[7, 8], [], [9]])
}

@Test func everyTruncationOfAFramedBodyIsRefusedOrShorter() throws {
    let whole: [UInt8] = [2, 0, 0, 0, 7, 8, 0, 0, 0, 0, 1, 0, 0, 0, 9]
    for count in 1..<whole.count {
        let part = Array(whole[..<count])
        let boundaries = [6: 1, 10: 2]
        if let records = boundaries[count] {
            #expect(try split(part, .framed).count == records)
        } else {
            let start = count < 6 ? 0 : count < 10 ? 6 : 10
            #expect(throws: RecordBody.Refusal.malformed(atByte: start)) { try split(part, .framed) }
        }
    }
    #expect(throws: RecordBody.Refusal.malformed(atByte: 0)) { try split([255, 255, 255, 255, 1], .framed) }
}

@Test func aWholeBodyIsOneRecordByteForByte() throws {
    let body: [UInt8] = [0, 13, 10, 255, 10]
    #expect(try split(body, .whole) == [body])
}

@Test func bodiesWithoutRecordsAreRefused() {
    for (body, encoding) in [([], .whole), ([], .lines), ([], .framed), ([10, 13, 10], .lines)]
        as [([UInt8], RecordBody.Encoding)]
    {
        #expect(throws: RecordBody.Refusal.empty) { try split(body, encoding) }
    }
}

@Test func recordLimitsAreExact() throws {
    #expect(try split([1, 2, 3], .whole, recordBytesMax: 3).count == 1)
    #expect(throws: RecordBody.Refusal.recordTooLarge(index: 0, bytes: 3)) {
        try split([1, 2, 3], .whole, recordBytesMax: 2)
    }
    #expect(throws: RecordBody.Refusal.recordTooLarge(index: 1, bytes: 3)) {
        try split(bytes("a\nbcd"), .lines, recordBytesMax: 2)
    }
    #expect(try split(bytes("a\nb\n"), .lines, recordCountMax: 2).count == 2)
    #expect(throws: RecordBody.Refusal.tooManyRecords) { try split(bytes("a\nb\nc"), .lines, recordCountMax: 2) }
}

@Test func onlyStatedCharactersMakeALogName() {
    func isValid(_ name: [UInt8]) -> Bool { name.withUnsafeBytes { LogName.isValid($0) } }
    for byte in UInt8.min...UInt8.max {
        let scalar = Character(Unicode.Scalar(byte))
        let isAllowed = byte < 128 && (scalar.isLetter || scalar.isNumber || "._-".contains(scalar))
        #expect(isValid([UInt8(ascii: "a"), byte]) == isAllowed, "byte \(byte)")
    }
    #expect(!isValid([]))
    #expect(!isValid(bytes(".hidden")))
    #expect(isValid(bytes("a.b")))
    #expect(isValid([UInt8](repeating: UInt8(ascii: "x"), count: 128)))
    #expect(!isValid([UInt8](repeating: UInt8(ascii: "x"), count: 129)))
}

@Test func theTableAgreesWithADictionary() {
    var table = LogTable()
    var model: [String: Int32] = [:]
    for number in 0..<2000 {
        let name = "log-\(number &* 7919 % 1500)"
        Array(name.utf8).withUnsafeBytes { bytes in
            #expect(table.slot(named: bytes)?.index == model[name])
            guard model[name] == nil else { return }
            let id = LogID(rawValue: UInt64(number + 1))
            model[name] = table.add(name: bytes, id: id, created: .zero, isDurable: number % 5 != 0).index
        }
    }
    let durable = model.filter { table[LogSlot(index: $0.value)].isDurable }.keys.sorted()
    var listed: [String] = []
    var after: [UInt8]?
    repeat {
        let page = table.list(prefix: [], after: after, limit: 37)
        #expect(page.logs.count == 37 || page.nextAfter == nil)
        listed += page.logs.map { String(decoding: $0.name, as: UTF8.self) }
        after = page.nextAfter
    } while after != nil
    #expect(listed == durable)
    let some = table.list(prefix: bytes("log-14"), after: bytes("log-140"), limit: 1000).logs
    #expect(
        some.map { String(decoding: $0.name, as: UTF8.self) }
            == durable.filter { $0.hasPrefix("log-14") && $0 > "log-140" })
    #expect(table.list(prefix: bytes("log-9"), after: bytes("a"), limit: 1).logs.count == 1)
}

@Test func anIndexFileSaysWhatWasPutIn() throws {
    let store = StoreID(first: 1, second: 2)
    let entries = (UInt32(0)..<5).map { (number: UInt32) -> IndexEntry in
        let start = number * 70_000
        return IndexEntry(
            offset: RecordOffset(rawValue: UInt64(number) * 10), timestamp: Timestamp(rawValue: UInt64(number) + 7),
            frame: start + 64, batchEnd: start + 900, payloadBytes: number * 100 + 1, frameBytes: number * 200 + 2)
    }
    let end = RecordOffset(rawValue: 45)
    let runs = [
        (log: LogID(rawValue: 3), run: IndexRun(entries: entries[...], end: end)),
        (log: LogID(rawValue: 1), run: IndexRun(entries: entries[4...], end: end)),
    ]
    let (bytes, rows) = IndexFile.encode(storeID: store, segment: Position(rawValue: 4096), runs: runs)
    let decoded = try bytes.withUnsafeBytes {
        try IndexFile.rows(decoding: $0, storeID: store, segment: Position(rawValue: 4096))
    }
    #expect(decoded == rows)
    for (row, (log, run)) in zip(rows, runs) {
        #expect(row.log == log && row.first == run.first && row.end == run.end)
        let start = Int(row.blockStart)
        let block = Array(bytes[start..<start + IndexFile.blockBytes(entryCount: Int(row.entryCount))])
        #expect(try block.withUnsafeBytes { try IndexFile.entries(decoding: $0, log: row.log) } == Array(run.entries))
        for index in block.indices {
            var flipped = block
            flipped[index] ^= 1
            #expect(throws: FormatError.self) {
                try flipped.withUnsafeBytes { try IndexFile.entries(decoding: $0, log: row.log) }
            }
        }
    }
    // Every flipped bit of the header and the table is refused, and every truncation.
    let tableEnd = IndexFile.headerBytes + 2 * IndexFile.rowBytes
    for index in 0..<tableEnd where !(52..<56).contains(index) {
        var flipped = bytes
        flipped[index] ^= 0x80
        #expect(throws: FormatError.self, "byte \(index)") {
            try flipped.withUnsafeBytes {
                try IndexFile.rows(decoding: $0, storeID: store, segment: Position(rawValue: 4096))
            }
        }
    }
    for count in 0..<bytes.count {
        #expect(throws: FormatError.self) {
            try Array(bytes[..<count]).withUnsafeBytes {
                try IndexFile.rows(decoding: $0, storeID: store, segment: Position(rawValue: 4096))
            }
        }
    }
}
