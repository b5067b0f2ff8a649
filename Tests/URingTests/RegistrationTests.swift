import CLibURing
import Glibc
import Testing

@testable import URing

@Suite(.needsRing) struct RegistrationTests {
    @Test func aRestrictedRingRefusesOtherOperations() throws {
        var ring = try makeRing(files: 1)
        let isRestricted = ring.isRestricted
        #expect(isRestricted)
        io_uring_prep_nop(io_uring_get_sqe(ring.ring))
        let path = "/dev/null"
        path.withCString { io_uring_prep_openat(io_uring_get_sqe(ring.ring), AT_FDCWD, $0, O_RDONLY, 0) }
        let drain = io_uring_get_sqe(ring.ring)!
        io_uring_prep_fsync(drain, 0, 0)
        drain.pointee.flags = UInt8(1) << UInt8(IOSQE_IO_DRAIN_BIT)
        // Three submissions went past the ring's own count.
        ring.outstandingCount += 3
        #expect(try ring.completions(3).map(\.result) == [-EACCES, -EACCES, -EACCES])
        #expect(io_uring_register_eventfd(ring.ring, 0) == -EACCES)
        #expect(io_uring_unregister_files(ring.ring) == -EACCES)
    }

    @Test func aWriteGoesToTheFileThatTheSlotHoldsNow() throws {
        let files = [try ScratchFile(), try ScratchFile()]
        let buffer = AlignedBuffer(byteCount: 4096)
        var ring = try makeRing(files: 3)
        for round in UInt8(0)..<4 {
            buffer.bytes[0] = round
            // The descriptor is closed before the slot is used: the table holds the file itself.
            let descriptor = dup(files[Int(round) % 2].descriptor)
            try ring.updateFile(slot: 2, descriptor: descriptor)
            close(descriptor)
            let queued = ring.write(
                file: .registered(2), buffer: buffer.prefix(1), fileOffset: UInt64(round), dataSync: false,
                tag: .number(UInt64(round)))
            #expect(queued)
            #expect(try ring.completions(1) == [.last(.number(UInt64(round)), 1)])
        }
        #expect(files[0].contents() == [0, 0, 2])
        #expect(files[1].contents() == [0, 1, 0, 3])
    }

    @Test func anEmptyOrClearedSlotCompletesWithEBADF() throws {
        let file = try ScratchFile()
        var ring = try makeRing(files: 2)
        try ring.updateFile(slot: 0, descriptor: file.descriptor)
        try ring.updateFile(slot: 0, descriptor: -1)
        for slot in 0..<2 {
            let queued = ring.fsync(file: .registered(slot), dataOnly: true, tag: .number(1))
            #expect(queued)
            #expect(try ring.completions(1) == [.last(.number(1), -EBADF)])
        }
    }

    @Test func aSlotCannotTakeADescriptorThatIsNotOpen() throws {
        var ring = try makeRing(files: 1)
        var caught: RingError?
        do throws(RingError) { try ring.updateFile(slot: 0, descriptor: 987_654) } catch { caught = error }
        #expect(caught?.errno == EBADF)
    }

    @Test func nothingCanBeSubmittedBeforeTheRingIsEnabled() throws {
        let file = try ScratchFile()
        var ring = try Ring(entries: 4)
        let queued = ring.fsync(file: .descriptor(file.descriptor), dataOnly: true, tag: .number(1))
        #expect(queued)
        var caught: RingError?
        do throws(RingError) { try ring.submit() } catch { caught = error }
        #expect(caught?.errno == EBADFD)
        try ring.restrictAndEnable()
        #expect(try ring.completions(1) == [.last(.number(1), 0)])
    }

    @Test func enablingTwiceTraps() async {
        await #expect(processExitsWith: .failure) {
            var ring = try makeRing()
            try? ring.restrictAndEnable()
            exit(0)
        }
    }

    @Test func theRingBelongsToTheThreadThatEnabledIt() throws {
        var ring = try Ring(entries: 4)
        let expected: RingSetupFlags = [.startsDisabled, .submitsAll, .singleIssuer, .deferred]
        try #require(ring.setupFlags == expected, "a kernel before 6.1 does not bind the ring")
        // The value stays here; the other thread enables it past it, as its owner would.
        let descriptor = UInt32(ring.ring.pointee.ring_fd)
        nonisolated(unsafe) var enabled: Int32 = -1
        pthread_join(
            startThread { enabled = io_uring_register(descriptor, UInt32(IORING_REGISTER_ENABLE_RINGS), nil, 0) }, nil)
        #expect(enabled == 0)
        let queued = ring.fsync(file: .descriptor(0), dataOnly: true, tag: .number(1))
        #expect(queued)
        var caught: RingError?
        do throws(RingError) { try ring.submit() } catch { caught = error }
        #expect(caught?.errno == EEXIST)
    }

    @Test func aRingMadeOnOneThreadIsUsedOnTheOneThatEnablesIt() throws {
        let file = try ScratchFile()
        let buffer = AlignedBuffer(byteCount: 4096)
        let descriptor = file.descriptor
        var made = try Ring(entries: 4)
        try made.registerFiles(count: 1)
        try made.updateFile(slot: 0, descriptor: descriptor)
        try made.registerBuffers([buffer.bytes])
        let box = RingBox(made)
        nonisolated(unsafe) var completions: [RingCompletion] = []
        let user = startThread {
            completions =
                (try? box.withRing { ring in
                    try ring.restrictAndEnable()
                    let queued = ring.fsync(file: .registered(0), dataOnly: true, tag: .number(1))
                    return queued ? try ring.completions(1) : []
                }) ?? []
        }
        pthread_join(user, nil)
        #expect(completions == [.last(.number(1), 0)])
    }

    /// In a process of its own, as the tests beside this one have rings too.
    @Test func closingGivesTheDescriptorBack() async {
        await #expect(processExitsWith: .success) {
            let before = ringDescriptorCount()
            let ring = try makeRing()
            #expect(ringDescriptorCount() == before + 1)
            ring.close()
            #expect(ringDescriptorCount() == before)
        }
    }
}

/// How many of this process's descriptors are rings.
private func ringDescriptorCount() -> Int {
    (0..<Int32(256)).count { descriptor in
        var name = [UInt8](repeating: 0, count: 64)
        let length = readlink("/proc/self/fd/\(descriptor)", &name, name.count)
        return length > 0 && String(decoding: name.prefix(length), as: UTF8.self) == "anon_inode:[io_uring]"
    }
}

/// Hands a ring to another thread.
final class RingBox: @unchecked Sendable {
    private var ring: Ring

    init(_ ring: consuming Ring) { self.ring = ring }

    func withRing<Result>(_ body: (inout Ring) throws -> Result) rethrows -> Result { try body(&ring) }
}
