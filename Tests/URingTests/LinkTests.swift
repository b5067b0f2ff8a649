import CLibURing
import Glibc
import Testing

@testable import URing

extension Ring {
    /// Queues a write of `byteCount` bytes and, linked to it, a sync.
    fileprivate mutating func queuePair(_ file: FileTarget, _ buffer: AlignedBuffer, byteCount: Int) -> Bool {
        write(
            file: file, buffer: buffer.prefix(byteCount), fileOffset: 0, dataSync: false, linkNext: true,
            tag: .number(1)) && fsync(file: file, dataOnly: true, tag: .number(2))
    }
}

@Suite(.needsRing) struct LinkTests {
    @Test func aLinkedSyncCompletesAfterItsWrite() throws {
        let file = try ScratchFile()
        let buffer = AlignedBuffer(byteCount: 65_536, filledWith: 1)
        var ring = try makeRing()
        let queued = ring.queuePair(.descriptor(file.descriptor), buffer, byteCount: 65_536)
        #expect(queued)
        #expect(try ring.completions(2) == [.last(.number(1), 65_536), .last(.number(2), 0)])
    }

    @Test func aFailedWriteCancelsItsSync() throws {
        let file = try ScratchFile()
        let readOnly = open(file.path, O_RDONLY | O_CLOEXEC)
        defer { close(readOnly) }
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing()
        let queued = ring.queuePair(.descriptor(readOnly), buffer, byteCount: 4096)
        #expect(queued)
        #expect(try ring.completions(2) == [.last(.number(1), -EBADF), .last(.number(2), -ECANCELED)])
    }

    @Test func aShortWriteCancelsItsSync() async {
        await #expect(processExitsWith: .success) {
            let file = try ScratchFile()
            let buffer = AlignedBuffer(byteCount: 8192)
            var limit = rlimit(rlim_cur: 6000, rlim_max: 6000)
            signal(SIGXFSZ, SIG_IGN)
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            var ring = try makeRing()
            let queued = ring.queuePair(.descriptor(file.descriptor), buffer, byteCount: 8192)
            #expect(queued)
            #expect(try ring.completions(2) == [.last(.number(1), 6000), .last(.number(2), -ECANCELED)])
        }
    }

    @Test func aPairThatDoesNotFitIsRefusedWhole() throws {
        let file = try ScratchFile()
        let buffer = AlignedBuffer(byteCount: 4096)
        let target = FileTarget.descriptor(file.descriptor)
        var ring = try makeRing(entries: 4)
        for number in 0..<3 {
            let queued = ring.fsync(file: target, dataOnly: true, tag: .number(UInt64(number)))
            #expect(queued)
        }
        let pair = ring.queuePair(target, buffer, byteCount: 4096)
        #expect(!pair)
        #expect(ring.queuedCount == 3)
        let alone = ring.write(
            file: target, buffer: buffer.prefix(4096), fileOffset: 0, dataSync: false, tag: .number(3))
        #expect(alone)
    }

    /// The kernel does this only when it is out of memory; so the half is submitted by hand, past the ring.
    @Test func aPairThatTheKernelTookInHalfIsAnError() throws {
        let file = try ScratchFile()
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing()
        let queued = ring.queuePair(.descriptor(file.descriptor), buffer, byteCount: 4096)
        #expect(queued)
        ring.ring.pointee.sq.ktail.pointee = 1
        #expect(io_uring_enter(UInt32(ring.ring.pointee.ring_fd), 1, 0, 0, nil) == 1)
        var caught: RingError?
        do throws(RingError) { try ring.checkSubmitted(1, since: 0) } catch { caught = error }
        #expect(caught?.errno == ECANCELED)

        // The second half alone, later, is a submission like any other.
        try ring.submit()
        #expect(ring.queuedCount == 0)
        _ = try ring.completions(2)
    }
}
