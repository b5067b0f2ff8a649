import Glibc

@testable import CommitLog

/// Stands between a log and its engine: passes everything on, and does to writes and their completions what it is told.
final class FaultyDevice: LogDevice {
    private let inner: any LogDevice
    /// Bytes that a write may have; a longer one is cut, as a full disk would. The first write takes the first.
    var writeBytesMax: [Int] = []
    /// Completions of writes that are reported in place of the real ones, the first one first.
    var writeResults: [Int32] = []
    /// Completions of syncs that are reported in place of the real ones.
    var syncResults: [Int32] = []
    /// Completions are kept back from the log as long as this is true.
    var holdsWrites = false
    var holdsSyncs = false
    /// What was written, as file offset and bytes, in order.
    private(set) var writes: [(fileOffset: UInt64, byteCount: Int)] = []
    private var held: [DeviceEvent] = []
    /// Completions that are kept back.
    var heldCount: Int { held.count }
    private var isCut = false

    init(_ inner: any LogDevice) { self.inner = inner }

    func target(_ descriptor: Int32) { inner.target(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        let byteCount = min(bytes.count, writeBytesMax.isEmpty ? bytes.count : writeBytesMax.removeFirst())
        isCut = byteCount < bytes.count
        writes.append((fileOffset, byteCount))
        inner.write(
            UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]), stagingIndex: stagingIndex, at: fileOffset)
    }

    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64) {
        inner.read(descriptor, into: buffer, at: fileOffset, number: number)
    }

    func watch(_ descriptor: Int32, source: Int) { inner.watch(descriptor, source: source) }

    func submit() { inner.submit() }

    /// As if the disk never ended what it was given.
    var staysBusy = false
    var isBusy: Bool { staysBusy || inner.isBusy }

    func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        var arrived = held
        held = []
        if arrived.isEmpty || holdsWrites || holdsSyncs {
            inner.wait(timeoutMicroseconds: timeoutMicroseconds, into: &arrived)
        }
        for event in arrived { pass(event, into: &events) }
    }

    private func pass(_ event: DeviceEvent, into events: inout [DeviceEvent]) {
        switch event {
        case .written(let result):
            if holdsWrites { return held.append(event) }
            events.append(.written(writeResults.isEmpty ? result : writeResults.removeFirst()))
        case .synced(let result):
            if holdsWrites || holdsSyncs { return held.append(event) }
            // The log asked for more than was written: its sync would have been cancelled with the link.
            let seen = isCut ? -ECANCELED : result
            events.append(.synced(syncResults.isEmpty ? seen : syncResults.removeFirst()))
        case .read, .readable, .failed: events.append(event)
        }
    }
}

/// Keeps hold of the device that `DrivenLog` puts around its engine.
final class DeviceHolder {
    private(set) var device: FaultyDevice!

    func decorate(_ inner: any LogDevice) -> any LogDevice {
        device = FaultyDevice(inner)
        return device
    }
}
