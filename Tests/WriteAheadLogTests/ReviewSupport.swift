import Foundation
import Synchronization

@testable import CommitLog
@testable import WriteAheadLog

/// A directory for a reviewed log, on the disk that the package is built on; it goes when this value goes.
final class ReviewDirectory: Sendable {
    let path = FileManager.default.currentDirectoryPath + "/.build/review-test-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: path) }

    static var configuration: WriteAheadLog.Configuration {
        var configuration = WriteAheadLog.Configuration()
        configuration.segmentBytes = 1 << 20
        configuration.batchBytes = 128 << 10
        return configuration
    }

    func open(
        _ configuration: WriteAheadLog.Configuration = ReviewDirectory.configuration
    ) throws(WriteAheadLogError) -> WriteAheadLog {
        try WriteAheadLog.open(path, configuration)
    }

    /// A log whose waiting threads write through what the test has in its hands.
    func open(
        _ faults: ReviewFaults, _ configuration: WriteAheadLog.Configuration = ReviewDirectory.configuration
    ) throws(WriteAheadLogError) -> WriteAheadLog {
        try WriteAheadLog.open(path, configuration) { engine, pendingBytesMax throws(WriteAheadLogError) in
            do throws(CommitLogError) {
                return try RecordLog(pendingBytesMax: pendingBytesMax) { replay throws(CommitLogError) in
                    try CommitLog.open(
                        engine, fileSystem: PosixFileSystem(), clock: SystemClock(), visitor: replay
                    ) { ReviewDevice($0, faults) }
                }
            } catch { throw WriteAheadLogError(error) }
        }
    }
}

/// What a test does to a device.
final class ReviewFaults: Sendable {
    private struct State {
        var here: (@Sendable () -> Int32?)?
        var hasFailed = false
    }

    private let state = Mutex(State())

    /// Called when a waiting thread has written; gives the errno that this is said to have failed with.
    func onWriteHere(_ body: @escaping @Sendable () -> Int32?) { state.withLock { $0.here = body } }

    /// The device reports that it carries nothing any more, when the loop looks next.
    func fail() { state.withLock { $0.hasFailed = true } }

    fileprivate func writtenHere() -> Int32? { state.withLock { $0.here }?() }

    fileprivate func takeFailure() -> Bool {
        state.withLock { state in
            defer { state.hasFailed = false }
            return state.hasFailed
        }
    }
}

/// Stands between a log and its engine.
private final class ReviewDevice: LogDevice {
    private let inner: any LogDevice
    private let faults: ReviewFaults

    init(_ inner: any LogDevice, _ faults: ReviewFaults) {
        self.inner = inner
        self.faults = faults
    }

    var writesForCallers: Bool { inner.writesForCallers }

    func writeNow(_ bytes: UnsafeRawBufferPointer, at fileOffset: UInt64) -> WriteOutcome {
        let outcome = inner.writeNow(bytes, at: fileOffset)
        guard let code = faults.writtenHere() else { return outcome }
        return WriteOutcome(written: -code, synced: 0)
    }

    func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        inner.wait(timeoutMicroseconds: timeoutMicroseconds, into: &events)
        if faults.takeFailure() { events.append(.failed(.engine("the test says so"))) }
    }

    func target(_ descriptor: Int32) { inner.target(descriptor) }
    func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        inner.write(bytes, stagingIndex: stagingIndex, at: fileOffset)
    }
    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64) {
        inner.read(descriptor, into: buffer, at: fileOffset, number: number)
    }
    func watch(_ descriptor: Int32, source: Int) { inner.watch(descriptor, source: source) }
    func submit() { inner.submit() }
    var isBusy: Bool { inner.isBusy }
}

extension WriteAheadLog {
    /// Accepts a record of which the loop is not told, as `appendAndWait` does before it waits.
    func stage(_ record: [UInt8]) throws(WriteAheadLogError) -> CompletionToken {
        try loop.append(records: 1, bytes: record.count, wakes: false) { lengths, payload in
            lengths.storeBytes(of: UInt32(record.count).littleEndian, as: UInt32.self)
            payload.copyBytes(from: record)
        }
    }

    func look<Value>(_ body: (CommitLog) -> Value) throws -> Value { try loop.withRecords { body($0.log) } }

    /// Keeps the loop's thread in a callback until the test lets it go.
    func occupyLoop() throws -> LoopHold {
        let hold = LoopHold()
        let token = try stage([1])
        token.whenCompleted { _ in hold.block() }
        try submitPending()
        hold.entered.wait()
        return hold
    }
}

final class LoopHold: Sendable {
    let entered = DispatchSemaphore(value: 0)
    private let end = DispatchSemaphore(value: 0)

    fileprivate func block() {
        entered.signal()
        end.wait()
    }

    func release() { end.signal() }
}

/// Whether the condition comes true within a generous time.
func comesTrue(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        usleep(2_000)
    }
    return false
}

/// Runs a body on a thread of its own; says when it has ended.
func onThread(_ body: @escaping @Sendable () -> Void) -> DispatchSemaphore {
    let ended = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        body()
        ended.signal()
    }
    return ended
}

extension DispatchSemaphore {
    /// Whether it is signalled within a generous time.
    var comes: Bool { wait(timeout: .now() + 20) == .success }
}
