import Glibc
import LogFormat
import Testing

@testable import CommitLog

struct SegmentDescriptorsTests {
    private static let max = CommitLogLimits.openSegmentCountMax

    /// A directory with so many empty segment files.
    private func directory(_ count: Int) throws -> ScratchDirectory {
        let directory = try ScratchDirectory()
        try PosixFileSystem().makeDirectory(directory.directory.segmentsPath)
        for number in 0..<count { try directory.overwrite(name(number), at: 0, with: [UInt8(number % 256)]) }
        return directory
    }

    private func name(_ number: Int) -> String { "wal/\(DataDirectory.segmentName(place(number)))" }
    private func place(_ number: Int) -> Position { .zero + number * 4096 }

    private func firstByte(_ descriptor: Int32) throws -> UInt8 {
        var byte: UInt8 = 0
        let count = try withUnsafeMutableBytes(of: &byte) {
            try PosixFileSystem().read(descriptor, into: $0, at: 0)
        }
        #expect(count == 1)
        return byte
    }

    @Test func theLeastRecentlyUsedOneIsClosedFirst() throws {
        let directory = try directory(Self.max + 2)
        let files = FaultyFileSystem()
        var descriptors = SegmentDescriptors(directory: directory.directory, fileSystem: files)
        for number in 0..<Self.max { descriptors.endRead(try descriptors.beginRead(.cached(place(number)))) }
        descriptors.endRead(try descriptors.beginRead(.cached(place(0))))
        descriptors.endRead(try descriptors.beginRead(.cached(place(Self.max))))
        #expect(files.openPaths.count == Self.max)
        #expect(!files.openPaths.contains(directory.directory.segmentPath(place(1))))
        #expect(files.openPaths.contains(directory.directory.segmentPath(place(0))))
    }

    @Test func oneWithAReadUnderWayIsNeverClosed() throws {
        let directory = try directory(3 * Self.max)
        let files = FaultyFileSystem()
        var descriptors = SegmentDescriptors(directory: directory.directory, fileSystem: files)
        let reading = try (0..<Self.max).map { try descriptors.beginRead(.cached(place($0))) }
        for number in Self.max..<2 * Self.max { descriptors.endRead(try descriptors.beginRead(.cached(place(number)))) }
        for (number, descriptor) in reading.enumerated() {
            #expect(try firstByte(descriptor) == UInt8(number % 256))
            descriptors.endRead(descriptor)
        }
    }

    @Test func aTargetIsOpenedOnceAndEachWayOfReadingForItself() throws {
        let directory = try directory(1)
        try directory.overwrite("wal/\(DataDirectory.indexName(place(0)))", at: 0, with: [99])
        let files = FaultyFileSystem()
        var descriptors = SegmentDescriptors(directory: directory.directory, fileSystem: files)
        let cached = try descriptors.beginRead(.cached(place(0)))
        #expect(try descriptors.beginRead(.cached(place(0))) == cached)
        let index = try descriptors.beginRead(.index(place(0)))
        #expect(index != cached)
        #expect(try firstByte(index) == 99)
        #expect(files.calls.filter { $0.operation == "open" }.count == 2)
    }

    @Test func aMissingSegmentIsAnErrorAndClosesNothing() throws {
        let directory = try directory(1)
        let files = FaultyFileSystem()
        var descriptors = SegmentDescriptors(directory: directory.directory, fileSystem: files)
        descriptors.endRead(try descriptors.beginRead(.cached(place(0))))
        do {
            _ = try descriptors.beginRead(.cached(place(1)))
            Issue.record("a missing file was opened")
        } catch {
            #expect(error.code == ENOENT)
        }
        #expect(files.openPaths.count == 1)
    }

    @Test func allAreClosedInTheEnd() throws {
        let directory = try directory(3)
        let files = FaultyFileSystem()
        do {
            var descriptors = SegmentDescriptors(directory: directory.directory, fileSystem: files)
            for number in 0..<3 { _ = try descriptors.beginRead(.cached(place(number))) }
        }
        #expect(files.openPaths == [])
    }
}
