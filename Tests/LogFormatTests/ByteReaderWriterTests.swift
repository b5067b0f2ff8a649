import Testing

@testable import LogFormat

@Suite struct ByteReaderWriterTests {
    @Test func whatWasWrittenIsReadBack() throws {
        var writer = ByteWriter(reservingBytes: 64)
        writer.append(UInt8(0xAB))
        writer.append(UInt16(0x1234))
        writer.append(UInt32(0xDEAD_BEEF))
        writer.append(UInt64.max - 1)
        writer.append(bytes: Array("name".utf8))
        [UInt8]([9, 8]).withUnsafeBytes { writer.append(bytes: $0) }

        try withGuarded(writer.bytes) { bytes throws in
            var reader = ByteReader(bytes)
            #expect(try reader.read(UInt8.self) == 0xAB)
            #expect(try reader.read(UInt16.self) == 0x1234)
            #expect(try reader.read(UInt32.self) == 0xDEAD_BEEF)
            #expect(try reader.read(UInt64.self) == UInt64.max - 1)
            #expect(try Array(reader.readBytes(4)) == Array("name".utf8))
            #expect(try Array(reader.readBytes(2)) == [9, 8])
            #expect(reader.remainingBytes == 0)
            #expect(reader.offset == writer.count)
        }
    }

    @Test func integersAreLittleEndian() {
        var writer = ByteWriter()
        writer.append(UInt32(0x0403_0201))
        writer.append(UInt16(0x0605))
        #expect(writer.bytes == [1, 2, 3, 4, 5, 6])
    }

    @Test func anIntegerIsReplacedWhereItStands() {
        var writer = ByteWriter()
        writer.append(UInt32(0))
        writer.append(UInt32(0x0807_0605))
        writer.replace(at: 0, with: UInt32(0x0403_0201))
        #expect(writer.bytes == [1, 2, 3, 4, 5, 6, 7, 8])
        writer.replace(at: 6, with: UInt16(0xFFEE))
        #expect(writer.bytes == [1, 2, 3, 4, 5, 6, 0xEE, 0xFF])
    }

    @Test func theChecksumCoversWhatWasWrittenFromTheStart() {
        var writer = ByteWriter()
        writer.append(UInt32(1))
        writer.append(bytes: Array("123456789".utf8))
        #expect(writer.checksum(from: 4) == 0xE306_9283)
        #expect(writer.checksum() == writer.bytes.checksum(of: 0..<13))
    }

    @Test func anIntegerThatDoesNotFitIsTruncatedAtEveryLength() {
        for count in 0..<8 {
            withGuarded([UInt8](repeating: 1, count: count)) { bytes in
                var reader = ByteReader(bytes)
                #expect(throws: FormatError.truncated(needed: 8, available: count)) { try reader.read(UInt64.self) }
                #expect(reader.offset == 0)
            }
        }
    }

    @Test func bytesThatDoNotFitAreTruncated() throws {
        try withGuarded([1, 2, 3]) { bytes throws in
            var reader = ByteReader(bytes)
            _ = try reader.read(UInt8.self)
            #expect(throws: FormatError.truncated(needed: 3, available: 2)) { try reader.readBytes(3) }
            #expect(throws: FormatError.truncated(needed: .max, available: 2)) { try reader.readBytes(.max) }
            #expect(throws: FormatError.badLength) { try reader.readBytes(-1) }
            #expect(try Array(reader.readBytes(2)) == [2, 3])
            #expect(try reader.readBytes(0).isEmpty)
        }
    }

    @Test func replacingWhatWasNotWrittenTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            var writer = ByteWriter()
            writer.append(UInt16(1))
            writer.replace(at: 0, with: UInt32(2))
        }
        expectTrap("nothing was written there", result)
    }
}
