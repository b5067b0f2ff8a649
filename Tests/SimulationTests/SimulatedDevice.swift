import Glibc
import LogFormat

@testable import WriteAheadLog

/// The asynchronous side of the simulated disk: what was started ends late, in any allowed order, one thing a draw; the
/// maintenance work is one of the things. Here time goes on.
final class SimulatedDevice: LogDevice {
    private enum Step: CaseIterable {
        case write, sync, read, job, outcome
    }

    private struct Read {
        let descriptor: Int32
        let buffer: UnsafeMutableRawBufferPointer
        let offset: UInt64
        let number: UInt64
    }

    private let disk: SimulatedDisk
    private let clock: SimulatedClock
    private let queue: SimulatedQueue
    private let mode: WriteMode
    private var seed: Seed
    private var target: SimulatedFile?
    /// Where the bytes of the commit write lie; they must not change before it ends.
    private var source: UnsafeRawBufferPointer?
    /// The syncs that follow ended writes; true if the write broke the link.
    private var syncsCancelled: [Bool] = []
    private var reads: [Read] = []
    private var maintenanceSource: Int?

    init(_ disk: SimulatedDisk, _ clock: SimulatedClock, _ queue: SimulatedQueue, _ mode: WriteMode) {
        self.disk = disk
        self.clock = clock
        self.queue = queue
        self.mode = mode
        seed = disk.seed.branch()
    }

    func target(_ descriptor: Int32) { target = descriptor < 0 ? nil : disk.file(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        precondition(source == nil, "a second commit write while one is under way")
        source = bytes
        guard !disk.isDead, let target else { return }
        disk.commitWrite = SimulatedDisk.CommitWrite(
            file: target, bytes: Array(bytes), offset: Int(fileOffset), isDirect: mode == .direct)
    }

    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64) {
        reads.append(Read(descriptor: descriptor, buffer: buffer, offset: fileOffset, number: number))
    }

    func watch(_ descriptor: Int32, source: Int) { maintenanceSource = source }

    func submit() {}

    func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        clock.advance(microseconds: Int64(1 + seed.below(500)))
        if let timeoutMicroseconds, seed.once(in: 6) {
            clock.advance(microseconds: timeoutMicroseconds)
            return
        }
        repeat {
            let possible = Step.allCases.filter(isPossible)
            if possible.isEmpty {
                if timeoutMicroseconds == nil && events.isEmpty {
                    disk.broken = "the loop sleeps for ever"
                    disk.die()
                    events.append(.written(-EIO))
                }
                clock.advance(microseconds: timeoutMicroseconds ?? 0)
                return
            }
            perform(seed.pick(possible), &events)
        } while events.isEmpty || seed.once(in: 2)
    }

    private func isPossible(_ step: Step) -> Bool {
        switch step {
        case .write: source != nil
        case .sync: !syncsCancelled.isEmpty
        case .read: !reads.isEmpty
        case .job: queue.hasJobs
        case .outcome: queue.hasOutcomes
        }
    }

    private func perform(_ step: Step, _ events: inout [DeviceEvent]) {
        switch step {
        case .write: endWrite(&events)
        case .sync: endSync(&events)
        case .read: endRead(&events)
        case .job: queue.performOne()
        // Twice in one round it would say nothing new.
        case .outcome: if !events.contains(.readable(source: maintenanceSource!)) { wake(&events) }
        }
    }

    private func wake(_ events: inout [DeviceEvent]) { events.append(.readable(source: maintenanceSource!)) }

    private func endWrite(_ events: inout [DeviceEvent]) {
        let bytes = source!
        source = nil
        let result = disk.passes() ? write(disk.commitWrite!, bytes) : -Int(EIO)
        if !disk.isDead { disk.commitWrite = nil }
        events.append(.written(Int32(result)))
        if mode == .buffered { syncsCancelled.append(result < bytes.count) }
    }

    /// Ends a write: bytes written, all or fewer, or a negative errno.
    private func write(_ write: SimulatedDisk.CommitWrite, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard write.bytes.count == bytes.count, memcmp(write.bytes, bytes.baseAddress!, bytes.count) == 0 else {
            disk.broken = "the bytes of a commit write changed while it was under way"
            return -Int(EIO)
        }
        if disk.fails() {
            if write.isDirect {
                var survival = Survival(&seed)
                write.file.writeTorn(bytes, at: write.offset, &survival)
            } else {
                let count = seed.below(bytes.count + 1)
                write.file.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: write.offset)
            }
            return -Int(seed.pick([EIO, ENOSPC]))
        }
        var count = bytes.count
        if seed.once(in: 16) {
            count = 1 + seed.below(count)
            if write.isDirect { count = (count + 511) / 512 * 512 }
        }
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        if write.isDirect {
            write.file.writeThrough(part, at: write.offset)
        } else {
            write.file.write(part, at: write.offset)
        }
        return count
    }

    private func endSync(_ events: inout [DeviceEvent]) {
        let isCancelled = syncsCancelled.removeFirst()
        guard !isCancelled else { return events.append(.synced(-ECANCELED)) }
        guard disk.passes() else { return events.append(.synced(-EIO)) }
        if disk.fails() {
            var survival = Survival(&seed)
            target!.failToSynchronize(&survival)
            return events.append(.synced(-EIO))
        }
        target!.synchronize()
        events.append(.synced(0))
    }

    private func endRead(_ events: inout [DeviceEvent]) {
        let read = reads.remove(at: seed.below(reads.count))
        var result = -Int(EIO)
        if disk.passes() && !disk.fails() {
            result = disk.file(read.descriptor).read(into: read.buffer, at: Int(read.offset))
        }
        events.append(.read(number: read.number, result: Int32(result)))
    }
}
