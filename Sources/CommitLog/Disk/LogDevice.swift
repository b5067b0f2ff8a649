/// Something that happened while the loop slept or worked.
public enum DeviceEvent: Equatable, Sendable {
    /// The commit write ended: bytes written, or a negative errno.
    case written(Int32)
    /// The sync behind the commit write ended: 0, or a negative errno.
    case synced(Int32)
    /// The read with this number ended: bytes read, or a negative errno.
    case read(number: UInt64, result: Int32)
    /// A watched descriptor has something to read.
    case readable(source: Int)
    /// The device carries nothing to the disk any more, and nothing more is heard of what is under way: reported once.
    /// Watched descriptors are still reported; reads end with `readGivenUp`.
    case failed(PoisonCause)
}

/// The asynchronous side of a disk, and the one place where the loop sleeps.
///
/// Everything is called from the loop's thread. At most one commit write is under way; its buffer stays untouched
/// until its events have come.
public protocol LogDevice: AnyObject {
    /// Makes this open file the target of the commit writes that follow; -1 lets go of the last one.
    func target(_ descriptor: Int32)
    /// Starts one commit write of the staging buffer with this index. In the direct mode one `.written` follows and
    /// says that the bytes are durable; in the buffered mode `.written`, then `.synced`.
    func write(_ bytes: UnsafeRawBufferPointer, stagingIndex: Int, at fileOffset: UInt64)
    /// Starts a read; `.read(number:result:)` follows. The buffer belongs to the device until then.
    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at fileOffset: UInt64, number: UInt64)
    /// Reports `.readable(source:)` whenever the descriptor has something to read.
    func watch(_ descriptor: Int32, source: Int)
    /// Hands what was started to the kernel without waiting.
    func submit()
    /// Hands over what was started, waits for an event or the time (nil: no limit, 0: not at all), adds the events.
    func wait(timeoutMicroseconds: Int64?, into events: inout [DeviceEvent])
    /// Whether `writeNow` may be called.
    var writesForCallers: Bool { get }
    /// Writes and syncs on the calling thread, whichever it is, in place of a `write`: one at a time, and none of either
    /// kind beside it.
    func writeNow(_ bytes: UnsafeRawBufferPointer, at fileOffset: UInt64) -> WriteOutcome
    /// Something that was handed over has not ended: the kernel may still use its buffer, whoever waits for it.
    var isBusy: Bool { get }
}

extension LogDevice {
    /// For a device that leaves buffers alone once nobody drives it.
    public var isBusy: Bool { false }

    /// For a device that stands between the log and another one, or simulates one.
    public var writesForCallers: Bool { false }
    public func writeNow(_ bytes: UnsafeRawBufferPointer, at fileOffset: UInt64) -> WriteOutcome {
        preconditionFailure("the device does not write for its callers")
    }
}

/// The result of a read of which nothing more will be heard: its buffer belongs to the kernel for as long as the
/// process lives. No read ends with this errno by itself, as none is linked to another request.
public let readGivenUp = -cancelledErrno

/// How the commit writes reach the disk.
public enum WriteMode: String, Sendable {
    /// O_DIRECT with RWF_DSYNC: one request, one flush.
    case direct
    /// Through the page cache, with an fdatasync behind.
    case buffered
}

/// Who carries the calls to the kernel.
public enum EngineKind: String, Sendable {
    case ioURing = "io_uring"
    case syscalls
}
