import CLibURing
import Glibc
import Testing

@testable import URing

/// Whether this machine gives rings to this process; decided once, and printed if not.
///
/// By a plain call and not by `RingProbe`: a mistake in the ring must fail its tests and not skip them.
let ringIsDenied: Bool = {
    var plain = io_uring()
    let result = io_uring_queue_init(1, &plain, 0)
    if result == 0 {
        io_uring_queue_exit(&plain)
        return false
    }
    print("the tests of the ring are skipped: \(RingError(operation: "io_uring_setup", errno: -result))")
    return true
}()

extension Trait where Self == ConditionTrait {
    /// Skips a suite where the machine denies io_uring.
    static var needsRing: Self { .disabled(if: ringIsDenied, "this machine denies io_uring (printed above)") }
}

/// A ring that is ready for submissions.
func makeRing(entries: UInt32 = 8, files: Int = 0) throws -> Ring {
    var ring = try Ring(entries: entries)
    if files > 0 { try ring.registerFiles(count: files) }
    try ring.restrictAndEnable()
    return ring
}

extension Ring {
    /// Enters the ring until `count` completions are there, or until ten seconds went by without one.
    mutating func completions(_ count: Int) throws -> [RingCompletion] {
        var completions: [RingCompletion] = []
        while completions.count < count {
            let before = completions.count
            try submitAndWait(timeoutMicroseconds: 10_000_000, into: &completions)
            try #require(completions.count > before, "only \(before) of \(count) submissions completed")
        }
        try #require(completions.count == count, "\(completions.count) submissions completed and not \(count)")
        return completions
    }
}

/// A file in a directory of its own below `.build` (a real file system, unlike /tmp in places), removed at the end.
final class ScratchFile {
    let path: String
    let descriptor: Int32
    private let directory: String

    init(direct: Bool = false) throws {
        _ = mkdir(".build", 0o755)
        var template = Array(".build/uring-XXXXXX".utf8CString)
        directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        path = directory + "/file"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (direct ? __O_DIRECT : 0), 0o600)
        try #require(descriptor >= 0, "open: errno \(errno)")
    }

    deinit {
        close(descriptor)
        unlink(path)
        rmdir(directory)
    }

    /// What stands in the file, read beside the ring.
    func contents() -> [UInt8] {
        let reader = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(reader) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = pread(reader, &bytes, bytes.count, 0)
        return Array(bytes.prefix(max(0, count)))
    }
}

/// Page-aligned memory, as direct writes need it.
final class AlignedBuffer {
    let bytes: UnsafeMutableRawBufferPointer

    init(byteCount: Int, filledWith byte: UInt8 = 0) {
        bytes = .allocate(byteCount: byteCount, alignment: 4096)
        memset(bytes.baseAddress!, Int32(byte), byteCount)
    }

    deinit { bytes.deallocate() }

    /// The first `count` bytes.
    func prefix(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[..<count]) }
}

/// A descriptor that becomes readable when it is rung: a pipe, as Swift's Glibc module has no `eventfd`.
final class Doorbell: Sendable {
    let descriptor: Int32
    private let writeEnd: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        (descriptor, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(descriptor)
        close(writeEnd)
    }

    func ring() { precondition(Glibc.write(writeEnd, "!", 1) == 1) }

    /// Takes one ring back.
    func silence() {
        var byte: UInt8 = 0
        precondition(Glibc.read(descriptor, &byte, 1) == 1)
    }
}

extension RingTag {
    /// A tag of which only the number matters.
    static func number(_ number: UInt64) -> Self { RingTag(kind: 1, number: number) }
}

extension RingCompletion {
    /// A completion that is the last one of its submission.
    static func last(_ tag: RingTag, _ result: Int32) -> Self { Self(tag: tag, result: result, hasMore: false) }
}
