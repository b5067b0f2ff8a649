import Glibc
import Testing

@testable import LogFormat

/// docs/FORMAT.md ends with the bytes of a small store. They are what the code writes, and the code reads them.
@Suite struct GoldenBytesTests {
    private static let storeID = StoreID(first: 0x7766_5544_3322_1100, second: 0xFFEE_DDCC_BBAA_9988)

    private static let segment = SegmentHeader(
        blockBytes: 4096, storeID: storeID, position: .zero, segmentBytes: 67_108_864,
        created: Timestamp(rawValue: 1_795_385_103_123_456))

    private static let batch = SampleBatch(
        number: BatchNumber(rawValue: 2), durableThrough: BatchNumber(rawValue: 1), storeID: storeID,
        epoch: Epoch(rawValue: 1), previousCRC: 0x1B2C_3D4E, position: Position(rawValue: 8192),
        frames: [
            SampleFrame(
                kind: .create, logID: LogID(rawValue: 1), firstOffset: .zero,
                timestamp: Timestamp(rawValue: 1_795_385_104_000_000),
                fields: [SampleField(kind: .logName, value: Array("orders".utf8))]),
            SampleFrame(
                kind: .append, logID: LogID(rawValue: 1), firstOffset: .zero,
                timestamp: Timestamp(rawValue: 1_795_385_104_000_001),
                records: [Array("hello".utf8), [], Array("world!".utf8)]),
        ])

    /// The hex blocks of docs/FORMAT.md: lines of an address, up to 16 bytes, and their text between bars.
    private func documentedBlocks() throws -> [[UInt8]] {
        var path = #filePath.split(separator: "/").dropLast(3).map(String.init)
        path += ["docs", "FORMAT.md"]
        var blocks: [[UInt8]] = []
        var isInside = false
        for line in try fileText("/" + path.joined(separator: "/")).split(separator: "\n") {
            if line == "```hex" {
                isInside = true
                blocks.append([])
            } else if line == "```" {
                isInside = false
            } else if isInside {
                let words = line.prefix { $0 != "|" }.split(separator: " ")
                #expect(words.first.flatMap { Int($0, radix: 16) } == blocks.last?.count, "the address of: \(line)")
                blocks[blocks.count - 1] += try words.dropFirst().map { try #require(UInt8($0, radix: 16)) }
            }
        }
        return blocks
    }

    private func fileText(_ path: String) throws -> String {
        let file = try #require(fopen(path, "r"), "cannot open \(path)")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    private func encodedSegment() -> [UInt8] {
        var bytes = [UInt8](repeating: 0xA5, count: SegmentHeader.byteCount)
        bytes.withUnsafeMutableBytes { Self.segment.encode(into: $0) }
        return bytes
    }

    /// What a failing test shows, ready to be compared with the document.
    private func dump(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let row = bytes[start..<min(start + 16, bytes.count)]
            let hexadecimal = row.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
            let text = String(decoding: row.map { (32..<127).contains($0) ? $0 : UInt8(ascii: ".") }, as: UTF8.self)
            let address = String(start, radix: 16)
            return String(repeating: "0", count: 4 - address.count) + address + "  " + hexadecimal + "  |" + text + "|"
        }.joined(separator: "\n")
    }

    @Test func theCodeWritesTheDocumentedBytes() throws {
        let blocks = try documentedBlocks()
        try #require(blocks.count == 2)
        #expect(blocks[0] == encodedSegment(), "encoded:\n\(dump(encodedSegment()))")
        let batchBytes = Self.batch.encodedExactly()
        #expect(blocks[1] == batchBytes, "encoded:\n\(dump(batchBytes))")
    }

    @Test func theCodeReadsTheDocumentedBytes() throws {
        let blocks = try documentedBlocks()
        try #require(blocks.count == 2)
        #expect(try withGuarded(blocks[0]) { try SegmentHeader(decoding: $0) } == Self.segment)
        #expect(try SampleBatch(decoding: blocks[1]) == Self.batch)
    }

    @Test func theLayoutsAreAsLongAsDocumented() {
        #expect(SegmentHeader.byteCount == 80)
        #expect(BatchHeader.byteCount == 64)
        #expect(FrameHeader.byteCount == 48)
    }
}
