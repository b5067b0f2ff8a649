import Glibc
import URing

/// The commit engine over io_uring: commit writes, reads and the polls of the watched descriptors are completions
/// of one ring, and the loop sleeps in it.
public final class RingDevice: LogDevice {
    private enum Kind: UInt8 {
        case write = 1
        case sync, read, poll
    }

    /// A read that the submission queue had no room for.
    @safe
    private struct Delayed {
        let descriptor: Int32
        let buffer: UnsafeMutableRawBufferPointer
        let fileOffset: UInt64
        let number: UInt64
    }

    /// The one registered file: the segment that commit writes go to.
    private static let segmentSlot = 0
    /// Places of the submission queue that reads leave free: a write, its sync, and polls.
    private static let reservedEntryCount = 5
    /// Microseconds that a kernel without memory for requests is left alone.
    private static let refusalPauseMicroseconds: UInt32 = 1_000

    private let mode: WriteMode
    private let entryCount: Int
    private var ring: Ring
    /// Nil where the kernel gives no second ring: the loop then commits for everybody.
    private let callers: CallersRing?
    private let hasRegisteredBuffers: Bool
    private var hasRegisteredFile: Bool
    private var descriptor: Int32 = -1
    private var watched: [(descriptor: Int32, source: Int)] = []
    private var delayedReads: [Delayed] = []
    private var completions: [RingCompletion] = []
    /// The numbers of the reads that the ring was given and has not completed.
    private var readsUnderWay: Set<UInt64> = []
    /// What entering the ring failed with. From then on it is left alone: nothing is known of what it holds.
    private var failure: RingError?
    private var isFailureReported = false

    /// Makes a ring, registers the staging buffers if `registersBuffers`, and goes on without where that is refused.
    /// Must be called on the loop's thread.
    public init(mode: WriteMode, entries: UInt32, staging: [UnsafeMutableRawBufferPointer], registersBuffers: Bool)
        throws(RingError)
    {
        self.mode = mode
        var ring = try Ring(entries: entries)
        var hasFile = true
        do throws(RingError) { try ring.registerFiles(count: 1) } catch { hasFile = false }
        var hasBuffers = registersBuffers
        if hasBuffers {
            // Refused where the locked-memory limit is small or used up: unregistered buffers only cost some speed.
            do throws(RingError) { unsafe try ring.registerBuffers(staging) } catch { hasBuffers = false }
        }
        try ring.restrictAndEnable()
        // A sandbox may allow the making of a ring and refuse its use.
        try ring.submitAndWait(timeoutMicroseconds: 0, into: &completions)
        self.ring = ring
        do throws(RingError) { callers = try CallersRing() } catch { callers = nil }
        entryCount = Int(entries)
        hasRegisteredFile = hasFile
        hasRegisteredBuffers = hasBuffers
        completions.reserveCapacity(Int(entries))
    }

    public func target(_ descriptor: Int32) {
        self.descriptor = descriptor
        guard hasRegisteredFile else { return }
        // The slot only spares a lookup: without it the descriptor itself is written to.
        do throws(RingError) { try ring.updateFile(slot: Self.segmentSlot, descriptor: descriptor) } catch {
            hasRegisteredFile = false
        }
    }

    public func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        guard failure == nil else { return }
        let isDirect = mode == .direct
        let file: FileTarget = hasRegisteredFile ? .registered(Self.segmentSlot) : .descriptor(descriptor)
        makeRoom(for: isDirect ? 1 : 2)
        guard failure == nil else { return }
        let isQueued = unsafe ring.write(
            file: file, buffer: bytes, bufferIndex: hasRegisteredBuffers ? stagingIndex : nil, fileOffset: fileOffset,
            dataSync: isDirect, linkNext: !isDirect, tag: tag(.write))
        precondition(isQueued, "the submission queue has no room for the commit write")
        if !isDirect {
            precondition(
                ring.fsync(file: file, dataOnly: true, tag: tag(.sync)), "the sync did not fit behind its write")
        }
    }

    /// Other threads ask: it says nothing of the loop's ring, which may fail meanwhile.
    public var writesForCallers: Bool { callers != nil }

    public func writeNow(_ bytes: UnsafeRawBufferPointer, at fileOffset: UInt64) -> WriteOutcome {
        guard let callers else { preconditionFailure("the device does not write for its callers") }
        return unsafe callers.write(bytes, to: descriptor, at: fileOffset, mode: mode)
    }

    public func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64
    ) {
        let read = unsafe Delayed(descriptor: descriptor, buffer: buffer, fileOffset: fileOffset, number: number)
        if !enqueue(read) { delayedReads.append(read) }
    }

    public func watch(_ descriptor: Int32, source: Int) {
        watched.append((descriptor, source))
        arm(watched.count - 1)
    }

    public func submit() {
        guard failure == nil else { return }
        do throws(RingError) { try ring.submit() } catch { failure = error }
    }

    public func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        guard failure == nil else { return waitWithoutRing(timeoutMicroseconds, &events) }
        while let read = delayedReads.first, enqueue(read) { delayedReads.removeFirst() }
        completions.removeAll(keepingCapacity: true)
        do throws(RingError) {
            try ring.submitAndWait(timeoutMicroseconds: timeoutMicroseconds, into: &completions)
        } catch {
            failure = error
            return waitWithoutRing(0, &events)
        }
        for completion in completions { translate(completion, into: &events) }
        // Not an error, and it passes; asking again at once would only take the processor away from others.
        if completions.isEmpty, ring.queuedCount > 0, timeoutMicroseconds != 0 { usleep(Self.refusalPauseMicroseconds) }
    }

    /// Whether a write, its sync or a read is with the kernel. A ring that failed says nothing about that.
    public var isBusy: Bool { failure != nil || callers?.hasFailed ?? false || ring.outstandingCount > watched.count }

    /// Says once that the ring has failed, ends every read, and goes on to report the watched descriptors.
    private func waitWithoutRing(_ timeoutMicroseconds: Int64?, _ events: inout [DeviceEvent]) {
        let eventCount = events.count
        if let failure, !isFailureReported { events.append(.failed(.engine(failure.description))) }
        isFailureReported = true
        for number in readsUnderWay { events.append(.read(number: number, result: readGivenUp)) }
        for read in delayedReads { events.append(.read(number: read.number, result: -EIO)) }
        readsUnderWay.removeAll()
        delayedReads.removeAll()
        var polled = watched.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        let milliseconds = timeoutMicroseconds.map { Int32(clamping: ($0 + 999) / 1000) } ?? -1
        let patience = events.count > eventCount ? 0 : milliseconds
        guard unsafe poll(&polled, nfds_t(polled.count), patience) > 0 else { return }
        for (entry, watched) in zip(polled, watched) where entry.revents != 0 {
            events.append(.readable(source: watched.source))
        }
    }

    private func translate(_ completion: RingCompletion, into events: inout [DeviceEvent]) {
        guard let kind = Kind(rawValue: completion.tag.kind) else {
            preconditionFailure("a completion came back with the unknown tag \(completion.tag.rawValue)")
        }
        switch kind {
        case .write: events.append(.written(completion.result))
        case .sync: events.append(.synced(completion.result))
        case .read:
            readsUnderWay.remove(completion.tag.number)
            events.append(.read(number: completion.tag.number, result: completion.result))
        case .poll:
            let index = Int(completion.tag.number)
            events.append(.readable(source: watched[index].source))
            if !completion.hasMore { arm(index) }
        }
    }

    private func arm(_ index: Int) {
        makeRoom(for: 1)
        guard failure == nil else { return }
        let isQueued = ring.pollMultishot(descriptor: watched[index].descriptor, tag: tag(.poll, UInt64(index)))
        precondition(isQueued, "the submission queue has no room for a poll")
    }

    private func enqueue(_ read: Delayed) -> Bool {
        // A commit write, its sync and a poll always find room, whatever the readers want.
        guard failure == nil, ring.queuedCount + Self.reservedEntryCount < entryCount else { return false }
        let isQueued = unsafe ring.read(
            file: .descriptor(read.descriptor), buffer: read.buffer, fileOffset: read.fileOffset,
            tag: tag(.read, read.number))
        if isQueued { readsUnderWay.insert(read.number) }
        return isQueued
    }

    /// Submits what is queued when fewer places than this are free, so that a commit write always fits.
    private func makeRoom(for count: Int) {
        if ring.queuedCount + count > entryCount { submit() }
    }

    private func tag(_ kind: Kind, _ number: UInt64 = 0) -> RingTag {
        RingTag(kind: kind.rawValue, number: number)
    }
}
