import Glibc

@testable import CommitLog

/// Stands between a log and its engine, and keeps what became of writes back until the test lets it through, or says that
/// they failed.
final class GatedDevice: LogDevice, @unchecked Sendable {
    // Sendable, as the mutex guards the state, and the rest is the loop's.
    private struct State {
        var holds = false
        /// What writes and syncs end with in place of the truth.
        var writeResult: Int32?
        var syncResult: Int32?
        var held: [DeviceEvent] = []
        var writeCount = 0
        var hereCount = 0
        var here: (@Sendable () -> Int32?)?
        var hasFailed = false
    }

    private let inner: any LogDevice
    private let state = Guarded(State())
    private let wakeDescriptor: Int32
    private static let wakeSource = 1 << 20
    /// Whether waiting threads may write by themselves.
    let writesForCallers: Bool

    init(_ inner: any LogDevice, writesForCallers: Bool) throws {
        self.inner = inner
        self.writesForCallers = writesForCallers
        wakeDescriptor = try makeEventDescriptor()
        inner.watch(wakeDescriptor, source: Self.wakeSource)
    }

    deinit { close(wakeDescriptor) }

    /// From now on no write ends.
    func hold() { state.withLock { $0.holds = true } }

    /// Lets those through that were kept back, and the ones that follow.
    func release() {
        state.withLock { $0.holds = false }
        signalEvent(wakeDescriptor)
    }

    /// Lets those through that were kept back, and has them (or their syncs) and the ones that follow fail.
    func failNext(write: Int32? = nil, sync: Int32? = nil) {
        state.withLock {
            $0.writeResult = write.map { -$0 }
            $0.syncResult = sync.map { -$0 }
        }
        release()
    }

    /// Called when a waiting thread has written; gives the errno that this is said to have failed with.
    func onWriteHere(_ body: @escaping @Sendable () -> Int32?) { state.withLock { $0.here = body } }

    /// The device reports that it carries nothing any more.
    func failEngine() {
        state.withLock { $0.hasFailed = true }
        signalEvent(wakeDescriptor)
    }

    /// Writes that were handed over, those of waiting threads included, and these alone.
    var writeCount: Int { state.withLock { $0.writeCount } }
    var hereCount: Int { state.withLock { $0.hereCount } }
    /// A write has ended, and the log does not know.
    var isHolding: Bool { state.withLock { !$0.held.isEmpty } }

    func target(_ descriptor: Int32) { inner.target(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        state.withLock { $0.writeCount += 1 }
        inner.write(bytes, stagingIndex: stagingIndex, at: fileOffset)
    }

    func writeNow(_ bytes: UnsafeRawBufferPointer, at fileOffset: UInt64) -> WriteOutcome {
        let outcome = inner.writeNow(bytes, at: fileOffset)
        state.withLock {
            $0.writeCount += 1
            $0.hereCount += 1
        }
        while state.withLock({ $0.holds }) { usleep(200) }
        let here = state.withLock { $0.here }
        guard let failure = here?().map({ -$0 }) ?? state.withLock({ $0.writeResult }) else { return outcome }
        return WriteOutcome(written: failure, synced: 0)
    }

    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64) {
        inner.read(descriptor, into: buffer, at: fileOffset, number: number)
    }

    func watch(_ descriptor: Int32, source: Int) { inner.watch(descriptor, source: source) }
    func submit() { inner.submit() }
    var isBusy: Bool { inner.isBusy }

    func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        var arrived: [DeviceEvent] = []
        inner.wait(timeoutMicroseconds: timeoutMicroseconds, into: &arrived)
        if arrived.contains(.readable(source: Self.wakeSource)) { clearEvent(wakeDescriptor) }
        events += state.withLock { state in
            state.held += arrived.filter { $0 != .readable(source: Self.wakeSource) }
            let passed = state.held.filter { !state.holds || !$0.isOfWrite }
            state.held.removeAll { !state.holds || !$0.isOfWrite }
            defer { state.hasFailed = false }
            let failure = state.hasFailed ? [DeviceEvent.failed(.engine("the test says so"))] : []
            return passed.map { Self.changed($0, state) } + failure
        }
    }

    private static func changed(_ event: DeviceEvent, _ state: State) -> DeviceEvent {
        switch event {
        case .written(let result): .written(state.writeResult ?? result)
        case .synced(let result): .synced(state.syncResult ?? result)
        case .read, .readable, .failed: event
        }
    }
}

extension DeviceEvent {
    fileprivate var isOfWrite: Bool {
        switch self {
        case .written, .synced: true
        case .read, .readable, .failed: false
        }
    }
}
