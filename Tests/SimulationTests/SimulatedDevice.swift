import Glibc
import LogFormat

@testable import CommitLog

/// The asynchronous side of the simulated disk: what was started ends late, in any allowed order, one thing a draw; the
/// maintenance work is one of the things. Here time goes on.
final class SimulatedDevice: LogDevice {
    private enum Step: Int, CaseIterable {
        case write, sync, read, job, outcome
        /// A part of the write under way reaches the disk.
        case part
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
    /// The write and the sync behind it come back together, as from a thread that makes both calls.
    private let reportsTogether: Bool
    private var seed: Seed
    /// How often each step is drawn: a machine has slow sides.
    private var weights: [Int]
    /// Calls that a maintenance job makes at a draw.
    private let callsPerJobStep: [Int]
    /// One sleep in so many is over before anything happens.
    private let timeoutRate: Int
    private var target: SimulatedFile?
    /// Where the bytes of the commit writes lie; they must not change before they end. There is one at a time, unless the
    /// log is wrong; what comes of that is for the oracle to see. Same order as the disk's `commitWrites`.
    private var sources: [UnsafeRawBufferPointer] = []
    /// The syncs that follow ended writes; true if the write broke the link.
    private var syncsCancelled: [Bool] = []
    private var reads: [Read] = []
    private var maintenanceSource: Int?

    init(_ disk: SimulatedDisk, _ clock: SimulatedClock, _ queue: SimulatedQueue, _ machine: Machine) {
        self.disk = disk
        self.clock = clock
        self.queue = queue
        mode = machine.mode
        reportsTogether = machine.engine == .syscalls
        seed = disk.seed.branch()
        weights = [8, 8, 8, 8, 8, 1]
        if seed.once(in: 2) { weights[seed.below(5)] = 1 }
        if seed.once(in: 3) { weights[Step.write.rawValue] = 1 }
        timeoutRate = seed.pick([6, 6, 40])
        callsPerJobStep = seed.pick([[1], [1, 5, 20], [8, .max], [.max]])
    }

    func target(_ descriptor: Int32) { target = descriptor < 0 ? nil : disk.file(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        guard let target else { preconditionFailure("a commit write without a file") }
        sources.append(bytes)
        guard !disk.isDead else { return }
        disk.commitWrites.append(
            SimulatedDisk.CommitWrite(
                file: target, bytes: Array(bytes), offset: Int(fileOffset), isDirect: mode == .direct))
    }

    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64) {
        reads.append(Read(descriptor: descriptor, buffer: buffer, offset: fileOffset, number: number))
    }

    func watch(_ descriptor: Int32, source: Int) { maintenanceSource = source }

    func submit() {}

    func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        clock.advance(microseconds: Int64(1 + seed.below(500)))
        if let timeoutMicroseconds, seed.once(in: timeoutRate) {
            clock.advance(microseconds: timeoutMicroseconds)
            return
        }
        repeat {
            guard let step = nextStep() else {
                if timeoutMicroseconds == nil && events.isEmpty {
                    disk.broken = "the loop sleeps for ever"
                    disk.die()
                    events.append(.written(-EIO))
                }
                clock.advance(microseconds: timeoutMicroseconds ?? 0)
                return
            }
            perform(step, &events)
        } while events.isEmpty || seed.once(in: 2)
    }

    /// Draws one of the possible steps, nil if there is none.
    private func nextStep() -> Step? {
        var total = 0
        for step in Step.allCases where isPossible(step) { total += weights[step.rawValue] }
        guard total > 0 else { return nil }
        var place = seed.below(total)
        for step in Step.allCases where isPossible(step) {
            place -= weights[step.rawValue]
            if place < 0 { return step }
        }
        return nil
    }

    private func isPossible(_ step: Step) -> Bool {
        switch step {
        case .write, .part: !sources.isEmpty
        case .sync: !syncsCancelled.isEmpty
        case .read: !reads.isEmpty
        case .job: queue.hasJobs
        case .outcome: queue.hasOutcomes
        }
    }

    private func perform(_ step: Step, _ events: inout [DeviceEvent]) {
        switch step {
        case .write:
            endWrite(&events)
            if reportsTogether && !syncsCancelled.isEmpty { endSync(&events) }
        case .sync: endSync(&events)
        case .read: endRead(&events)
        case .job: queue.perform(calls: seed.pick(callsPerJobStep))
        // Twice in one round it would say nothing new.
        case .outcome: if !events.contains(.readable(source: maintenanceSource!)) { wake(&events) }
        case .part: if !disk.isDead { seed.pick(disk.commitWrites).perform(partly: &seed) }
        }
    }

    private func wake(_ events: inout [DeviceEvent]) { events.append(.readable(source: maintenanceSource!)) }

    private func endWrite(_ events: inout [DeviceEvent]) {
        let index = sources.count == 1 ? 0 : seed.below(sources.count)
        let bytes = sources.remove(at: index)
        let result = disk.passes() ? write(disk.commitWrites[index], bytes) : -Int(EIO)
        if !disk.isDead { disk.commitWrites.remove(at: index) }
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
            write.perform(partly: &seed)
            return -Int(seed.pick([EIO, ENOSPC]))
        }
        var count = bytes.count
        if seed.once(in: 16) {
            count = 1 + seed.below(count)
            if write.isDirect { count = roundedUp(count, to: SimulatedFile.sectorBytes) }
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
            if seed.once(in: 24) && result > SimulatedFile.sectorBytes {
                result = seed.below(result / SimulatedFile.sectorBytes) * SimulatedFile.sectorBytes
                disk.shortReadCount += 1
            }
        }
        events.append(.read(number: read.number, result: Int32(result)))
    }
}
