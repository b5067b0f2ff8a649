import CLibURing
import Glibc
import Testing

@testable import URing

@Suite(.needsRing) struct WriteTests {
    @Test func aDurableDirectWriteFromARegisteredBufferReadsBackWhole() throws {
        let file = try ScratchFile(direct: true)
        let out = AlignedBuffer(byteCount: 16_384, filledWith: 0x5a)
        let back = AlignedBuffer(byteCount: 8192)
        var ring = try Ring(entries: 8)
        try ring.registerFiles(count: 2)
        try ring.registerBuffers([AlignedBuffer(byteCount: 4096).bytes, out.bytes])
        try ring.restrictAndEnable()
        try ring.updateFile(slot: 1, descriptor: file.descriptor)

        let half = UnsafeRawBufferPointer(rebasing: out.bytes[4096..<12_288])
        let wrote = ring.write(
            file: .registered(1), buffer: half, bufferIndex: 1, fileOffset: 4096, dataSync: true, tag: .number(7))
        #expect(wrote)
        #expect(try ring.completions(1) == [.last(.number(7), 8192)])
        #expect(file.contents() == [UInt8](repeating: 0, count: 4096) + [UInt8](repeating: 0x5a, count: 8192))

        let read = ring.read(file: .registered(1), buffer: back.bytes, fileOffset: 4096, tag: .number(8))
        #expect(read)
        #expect(try ring.completions(1) == [.last(.number(8), 8192)])
        #expect(back.bytes.elementsEqual(half))
    }

    /// A disk gives no sign of a sync that was left away, so what is handed to the kernel is looked at instead.
    @Test func whatWasAskedForStandsInTheSubmission() throws {
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try Ring(entries: 8)
        try ring.registerFiles(count: 4)
        try ring.registerBuffers([buffer.bytes])
        try ring.restrictAndEnable()
        let bytes = buffer.prefix(512)
        var queued = [
            ring.write(file: .descriptor(1), buffer: bytes, fileOffset: 1, dataSync: false, tag: .number(0)),
            ring.write(file: .descriptor(1), buffer: bytes, fileOffset: 2, dataSync: true, tag: .number(1)),
            ring.write(
                file: .registered(3), buffer: bytes, bufferIndex: 0, fileOffset: 3, dataSync: true, linkNext: true,
                tag: .number(2)),
            ring.fsync(file: .registered(3), dataOnly: true, tag: .number(3)),
            ring.fsync(file: .descriptor(1), dataOnly: false, tag: .number(4)),
        ]
        queued.removeAll { $0 }
        #expect(queued.isEmpty)
        let entries = (0..<5).map { ring.ring.pointee.sq.sqes[$0] }
        #expect(entries.map { UInt32($0.opcode) } == [23, 23, 5, 3, 3])  // WRITE, WRITE, WRITE_FIXED, FSYNC, FSYNC
        #expect(entries.map(\.fd) == [1, 1, 3, 3, 1])
        #expect(entries.map(\.flags) == [0, 0, 1 | 4, 1, 0])  // IOSQE_FIXED_FILE is 1, IOSQE_IO_LINK is 4
        #expect(entries.prefix(3).map(\.rw_flags) == [0, RWF_DSYNC, RWF_DSYNC])
        #expect(entries.prefix(3).map(\.off) == [1, 2, 3])
        #expect(entries.suffix(2).map(\.fsync_flags) == [1, 0])  // IORING_FSYNC_DATASYNC is 1
        #expect(entries.map(\.user_data) == (0..<5).map { RingTag.number($0).rawValue })
    }

    @Test func aDescriptorThatIsNotOpenCompletesWithEBADF() throws {
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing()
        let wrote = ring.write(
            file: .descriptor(987_654), buffer: buffer.prefix(1), fileOffset: 0, dataSync: false, tag: .number(1))
        let synced = ring.fsync(file: .descriptor(987_654), dataOnly: true, tag: .number(2))
        #expect(wrote && synced)
        #expect(Set(try ring.completions(2).map(\.result)) == [-EBADF])
    }

    @Test func aMisalignedDirectWriteCompletesWithEINVAL() throws {
        let file = try ScratchFile(direct: true)
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing()
        let wrote = ring.write(
            file: .descriptor(file.descriptor), buffer: buffer.prefix(100), fileOffset: 0, dataSync: true,
            tag: .number(1))
        #expect(wrote)
        #expect(try ring.completions(1) == [.last(.number(1), -EINVAL)])
    }

    @Test func aReadBeyondTheEndIsShort() throws {
        let file = try ScratchFile()
        #expect(pwrite(file.descriptor, "abc", 3, 0) == 3)
        let back = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing()
        let queued = [
            ring.read(file: .descriptor(file.descriptor), buffer: back.bytes, fileOffset: 0, tag: .number(1)),
            ring.read(file: .descriptor(file.descriptor), buffer: back.bytes, fileOffset: 3, tag: .number(2)),
        ]
        #expect(queued == [true, true])
        let results = Dictionary(uniqueKeysWithValues: try ring.completions(2).map { ($0.tag.number, $0.result) })
        #expect(results == [1: 3, 2: 0])
    }

    @Test func aSlotOrBufferThatIsNotRegisteredTraps() async {
        await #expect(processExitsWith: .failure) {
            var ring = try makeRing(files: 1)
            _ = ring.fsync(file: .registered(1), dataOnly: true, tag: .number(1))
            exit(0)
        }
        await #expect(processExitsWith: .failure) {
            let buffer = AlignedBuffer(byteCount: 4096)
            var ring = try makeRing()
            _ = ring.write(
                file: .descriptor(1), buffer: buffer.prefix(1), bufferIndex: 0, fileOffset: 0, dataSync: true,
                tag: .number(1))
            exit(0)
        }
    }
}
