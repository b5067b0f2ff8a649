import Glibc
import LogFormat
import Testing

@testable import CommitLog

/// What a device tells its owner, and what it asks of the kernel.
struct DeviceTests {
    private func withStaging<Value>(_ body: (UnsafeMutableRawBufferPointer) throws -> Value) rethrows -> Value {
        let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 * 4096, alignment: 4096)
        defer { staging.deallocate() }
        for index in staging.indices { staging[index] = UInt8(truncatingIfNeeded: index / 7) }
        return try body(staging)
    }

    private func device(_ way: EngineCase, _ staging: UnsafeMutableRawBufferPointer) throws -> any LogDevice {
        let mode = WriteMode(rawValue: way.mode.rawValue)!
        if way.engine == .syscalls { return try SyscallDevice(mode: mode) }
        do {
            return try RingDevice(mode: mode, entries: 8, staging: [staging], registersBuffers: true)
        } catch { try Test.cancel("\(way.testDescription): \(error)") }
    }

    private func completions(_ device: any LogDevice, _ count: Int) -> [DeviceEvent] {
        var events: [DeviceEvent] = []
        while events.count < count { device.wait(timeoutMicroseconds: nil, into: &events) }
        return events
    }

    /// The sync must hang on its write: where it stands alone, it succeeds though nothing was written.
    @Test(arguments: EngineCase.buffered)
    func theSyncBehindAFailedWriteIsCancelled(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        try directory.overwrite("file", at: 0, with: [1])
        try withStaging { staging in
            let device = try device(way, staging)
            let descriptor = try PosixFileSystem().open("\(directory.path)/file", .read)
            defer { PosixFileSystem().close(descriptor) }
            device.target(descriptor)
            device.write(UnsafeRawBufferPointer(staging), stagingIndex: 0, at: 0)
            #expect(completions(device, 2) == [.written(-EBADF), .synced(-ECANCELED)])
        }
    }

    /// A file that takes every write and cannot be synced.
    @Test(arguments: EngineCase.buffered)
    func aSyncThatFailsBehindAWholeWriteIsReported(_ way: EngineCase) throws {
        try withStaging { staging in
            let device = try device(way, staging)
            let descriptor = try PosixFileSystem().open("/dev/null", .write)
            defer { PosixFileSystem().close(descriptor) }
            device.target(descriptor)
            device.write(UnsafeRawBufferPointer(staging), stagingIndex: 0, at: 0)
            #expect(completions(device, 2) == [.written(Int32(staging.count)), .synced(-EINVAL)])
        }
    }

    @Test(arguments: EngineCase.all)
    func aWriteLandsInTheTargetOfItsTime(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        try withStaging { staging in
            let device = try device(way, staging)
            let files = PosixFileSystem()
            for (name, first) in [("a", 0), ("b", 4), ("a", 8)] {
                let descriptor = try files.open(
                    "\(directory.path)/\(name)", way.mode == .direct ? .writeDirect : .write)
                device.target(descriptor)
                let part = UnsafeRawBufferPointer(rebasing: staging[first * 4096..<(first + 2) * 4096])
                device.write(part, stagingIndex: 0, at: UInt64(first * 4096))
                let expected: [DeviceEvent] = way.mode == .direct ? [.written(8192)] : [.written(8192), .synced(0)]
                #expect(completions(device, expected.count) == expected)
                files.close(descriptor)
                let contents = try #require(try directory.contents(name))
                #expect(Array(contents[(first * 4096)...]) == Array(part))
            }
            #expect(try directory.contents("b")?.count == 6 * 4096)
        }
    }

    @Test(arguments: EngineCase.all)
    func aDeviceIsBusyUntilWhatItWasGivenHasEnded(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        try withStaging { staging in
            let device = try device(way, staging)
            let watched = try makeEventDescriptor()
            defer { close(watched) }
            device.watch(watched, source: 5)
            let descriptor = try PosixFileSystem().open("\(directory.path)/file", .write)
            defer { PosixFileSystem().close(descriptor) }
            device.target(descriptor)
            #expect(!device.isBusy)
            device.write(UnsafeRawBufferPointer(staging), stagingIndex: 0, at: 0)
            #expect(device.isBusy)
            _ = completions(device, way.mode == .direct ? 1 : 2)
            #expect(!device.isBusy)
            device.read(descriptor, into: staging, at: 0, number: 1)
            #expect(device.isBusy)
            #expect(completions(device, 1) == [.read(number: 1, result: Int32(staging.count))])
            #expect(!device.isBusy)
        }
    }

    @Test(arguments: EngineCase.all)
    func aWatchedDescriptorIsReportedEachTimeItIsSignalled(_ way: EngineCase) throws {
        try withStaging { staging in
            let device = try device(way, staging)
            let descriptors = [try makeEventDescriptor(), try makeEventDescriptor()]
            defer { for descriptor in descriptors { close(descriptor) } }
            for (index, descriptor) in descriptors.enumerated() { device.watch(descriptor, source: index + 5) }
            for round in 0..<20 {
                signalEvent(descriptors[round % 2])
                #expect(completions(device, 1) == [.readable(source: round % 2 + 5)])
                clearEvent(descriptors[round % 2])
            }
            var events: [DeviceEvent] = []
            device.wait(timeoutMicroseconds: 0, into: &events)
            #expect(events == [])
        }
    }

    @Test(arguments: EngineCase.all)
    func aReadOfWhatIsNotThereEndsWithItsError(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        try directory.overwrite("file", at: 0, with: Array(repeating: 3, count: 100))
        try withStaging { staging in
            let device = try device(way, staging)
            let descriptor = try PosixFileSystem().open("\(directory.path)/file", .read)
            device.read(descriptor, into: staging, at: 90, number: 1)
            #expect(completions(device, 1) == [.read(number: 1, result: 10)])
            device.read(descriptor, into: staging, at: 100, number: 2)
            #expect(completions(device, 1) == [.read(number: 2, result: 0)])
            PosixFileSystem().close(descriptor)
            device.read(-1, into: staging, at: 0, number: 3)
            #expect(completions(device, 1) == [.read(number: 3, result: -EBADF)])
        }
    }

    /// Counted by the disk itself: between the beginning of a commit and its end a flush has ended. Others may flush at
    /// the same time, but not in each of so many short moments.
    @Test(arguments: EngineCase.all)
    func eachCommitFlushesTheDisk(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let disk = try FlushCounter(of: directory)
        let log = try way.open(directory)
        log.awaitSpare()
        for _ in 0..<200 {
            let before = try disk.count()
            try log.commit(bytes: 10)
            guard try disk.count() > before else {
                Issue.record("batch \(log.log.durable.number) became durable without a flush")
                return
            }
        }
    }
}

/// How many flushes a disk has been sent.
private struct FlushCounter {
    private let path: String

    /// Cancels the test on disks without a volatile cache, and where the kernel tells nothing.
    init(of directory: ScratchDirectory) throws {
        var status = stat()
        stat(directory.path, &status)
        let (major, minor) = (status.st_dev >> 8 & 0xFFF, status.st_dev & 0xFF | (status.st_dev >> 12) & 0xFFF00)
        path = "/sys/dev/block/\(major):\(minor)"
        let cache = try PosixFileSystem().contents("\(path)/queue/write_cache") ?? []
        guard String(decoding: cache, as: UTF8.self).hasPrefix("write back") else {
            print("skipped: no disk with a write-back cache is known at \(path)")
            try Test.cancel("no disk with a write-back cache is known at \(path)")
        }
    }

    func count() throws -> Int {
        let text = String(decoding: try PosixFileSystem().contents("\(path)/stat") ?? [], as: UTF8.self)
        let fields = text.split(whereSeparator: \.isWhitespace)
        return try #require(fields.count > 15 ? Int(fields[15]) : nil)
    }
}
