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
    /// Places of the submission queue that reads leave free.
    private static let reservedEntryCount = 4

    private let mode: WriteMode
    private let entryCount: Int
    private var ring: Ring
    private let hasRegisteredBuffers: Bool
    private let hasRegisteredFile: Bool
    private var descriptor: Int32 = -1
    private var watched: [(descriptor: Int32, source: Int)] = []
    private var delayedReads: [Delayed] = []
    private var completions: [RingCompletion] = []

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
        self.ring = ring
        entryCount = Int(entries)
        hasRegisteredFile = hasFile
        hasRegisteredBuffers = hasBuffers
        completions.reserveCapacity(Int(entries))
    }

    public func target(_ descriptor: Int32) throws {
        self.descriptor = descriptor
        if hasRegisteredFile { try ring.updateFile(slot: Self.segmentSlot, descriptor: descriptor) }
    }

    public func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64) {
        let isDirect = mode == .direct
        let file: FileTarget = hasRegisteredFile ? .registered(Self.segmentSlot) : .descriptor(descriptor)
        makeRoom(for: isDirect ? 1 : 2)
        let isQueued = unsafe ring.write(
            file: file, buffer: bytes, bufferIndex: hasRegisteredBuffers ? stagingIndex : nil, fileOffset: fileOffset,
            dataSync: isDirect, linkNext: !isDirect, tag: tag(.write))
        precondition(isQueued, "the submission queue has no room for the commit write")
        if !isDirect {
            precondition(
                ring.fsync(file: file, dataOnly: true, tag: tag(.sync)), "the sync did not fit behind its write")
        }
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
        // An error here comes again, with its consequences, at the next wait.
        do throws(RingError) { try ring.submit() } catch { preconditionFailure(error.description) }
    }

    public func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent]) {
        while let read = delayedReads.first, enqueue(read) { delayedReads.removeFirst() }
        completions.removeAll(keepingCapacity: true)
        do throws(RingError) {
            try ring.submitAndWait(timeoutMicroseconds: timeoutMicroseconds, into: &completions)
        } catch {
            preconditionFailure(error.description)
        }
        for completion in completions { translate(completion, into: &events) }
    }

    private func translate(_ completion: RingCompletion, into events: inout [DeviceEvent]) {
        guard let kind = Kind(rawValue: completion.tag.kind) else {
            preconditionFailure("a completion came back with the unknown tag \(completion.tag.rawValue)")
        }
        switch kind {
        case .write: events.append(.written(completion.result))
        case .sync: events.append(.synced(completion.result))
        case .read: events.append(.read(number: completion.tag.number, result: completion.result))
        case .poll:
            let index = Int(completion.tag.number)
            events.append(.readable(source: watched[index].source))
            if !completion.hasMore { arm(index) }
        }
    }

    private func arm(_ index: Int) {
        makeRoom(for: 1)
        let isQueued = ring.pollMultishot(descriptor: watched[index].descriptor, tag: tag(.poll, UInt64(index)))
        precondition(isQueued, "the submission queue has no room for a poll")
    }

    private func enqueue(_ read: Delayed) -> Bool {
        // A commit write, its sync and a poll always find room, whatever the readers want.
        guard ring.queuedCount + Self.reservedEntryCount < entryCount else { return false }
        return unsafe ring.read(
            file: .descriptor(read.descriptor), buffer: read.buffer, fileOffset: read.fileOffset,
            tag: tag(.read, read.number))
    }

    /// Submits what is queued when fewer places than this are free, so that a commit write always fits.
    private func makeRoom(for count: Int) {
        if ring.queuedCount + count > entryCount { submit() }
    }

    private func tag(_ kind: Kind, _ number: UInt64 = 0) -> RingTag {
        RingTag(kind: kind.rawValue, number: number)
    }
}
