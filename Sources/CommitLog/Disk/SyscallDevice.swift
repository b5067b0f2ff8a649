import Glibc

/// The commit engine for machines that deny io_uring: a writer thread and a reader thread make the blocking calls,
/// the loop sleeps in poll(2). Same protocol, same bytes on disk.
public final class SyscallDevice: LogDevice {
    private struct WriteJob: Sendable {
        let descriptor: Int32
        /// The address of the staging bytes; the loop leaves them alone until the outcome is back.
        let address: UInt
        let byteCount: Int
        let fileOffset: UInt64
    }

    private struct ReadJob: Sendable {
        let descriptor: Int32
        let address: UInt
        let byteCount: Int
        let fileOffset: UInt64
        let number: UInt64
    }

    private struct ReadOutcome: Sendable {
        let number: UInt64
        let result: Int32
    }

    private let mode: WriteMode
    private let writer: Worker<WriteJob, WriteOutcome>
    private let reader: Worker<ReadJob, ReadOutcome>
    private var descriptor: Int32 = -1
    /// The writer's and the reader's outcome descriptors first, then the watched ones in the order of `sources`.
    private var polled: [pollfd]
    private var sources: [Int] = []
    /// Jobs whose outcome has not been taken.
    private var jobCount = 0

    public init(mode: WriteMode) throws(FileError) {
        self.mode = mode
        writer = try Worker(name: "wal-writer") { job in Self.perform(job, mode: mode) }
        reader = try Worker(name: "wal-reader") { job in Self.perform(job) }
        polled = [writer.outcomeDescriptor, reader.outcomeDescriptor].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
    }

    deinit {
        writer.stop()
        reader.stop()
    }

    public func target(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    public func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        jobCount += 1
        writer.post(
            WriteJob(
                descriptor: descriptor, address: UInt(bitPattern: bytes.baseAddress), byteCount: bytes.count,
                fileOffset: fileOffset))
    }

    public var writesForCallers: Bool { true }

    public func writeNow(_ bytes: UnsafeRawBufferPointer, at fileOffset: UInt64) -> WriteOutcome {
        unsafe WriteOutcome(writing: bytes, to: descriptor, at: fileOffset, mode: mode)
    }

    public func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64
    ) {
        jobCount += 1
        reader.post(
            ReadJob(
                descriptor: descriptor, address: UInt(bitPattern: buffer.baseAddress), byteCount: buffer.count,
                fileOffset: fileOffset, number: number))
    }

    public func watch(_ descriptor: Int32, source: Int) {
        polled.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        sources.append(source)
    }

    public func submit() {}

    public var isBusy: Bool { jobCount > 0 }

    public func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        // Rounded up: a poll of 0 ms would spin through the last part of a wait.
        let milliseconds = timeoutMicroseconds.map { Int32(clamping: ($0 + 999) / 1000) } ?? -1
        guard unsafe poll(&polled, nfds_t(polled.count), milliseconds) > 0 else { return }
        for index in polled.indices where polled[index].revents != 0 {
            switch index {
            case 0: takeWrites(into: &events)
            case 1:
                for outcome in reader.takeOutcomes() {
                    jobCount -= 1
                    events.append(.read(number: outcome.number, result: outcome.result))
                }
            default: events.append(.readable(source: sources[index - 2]))
            }
        }
    }

    private func takeWrites(into events: inout [DeviceEvent]) {
        for outcome in writer.takeOutcomes() {
            jobCount -= 1
            events.append(.written(outcome.written))
            if mode == .buffered { events.append(.synced(outcome.synced)) }
        }
    }

    private static func perform(_ job: WriteJob, mode: WriteMode) -> WriteOutcome {
        let bytes = unsafe UnsafeRawBufferPointer(
            start: UnsafeRawPointer(bitPattern: job.address), count: job.byteCount)
        return unsafe WriteOutcome(writing: bytes, to: job.descriptor, at: job.fileOffset, mode: mode)
    }

    private static func perform(_ job: ReadJob) -> ReadOutcome {
        let address = unsafe UnsafeMutableRawPointer(bitPattern: job.address)!
        var count: Int
        repeat {
            count = unsafe pread(job.descriptor, address, job.byteCount, off_t(job.fileOffset))
        } while count < 0 && errno == EINTR
        return ReadOutcome(number: job.number, result: count < 0 ? -errno : Int32(count))
    }
}
