import CLibURing
import Glibc
import Testing

@testable import URing

/// Makes one system call, or one with a certain second argument, fail in this thread from now on, as a container's
/// seccomp profile does.
///
/// `prctl` is variadic and so not imported; its address is called with the five arguments that it takes.
private func deny(systemCall number: UInt32, secondArgument: Int? = nil, with error: Int32) throws {
    struct Instruction {
        var code: UInt16
        var jumpTrue: UInt8 = 0
        var jumpFalse: UInt8 = 0
        var operand: UInt32
    }
    struct Program {
        var count: UInt16
        var instructions: UnsafePointer<Instruction>
    }
    typealias Control = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
    let control = unsafeBitCast(try #require(dlsym(nil, "prctl")), to: Control.self)
    var instructions = [
        Instruction(code: 0x20, operand: 0),  // load the number of the system call
        Instruction(code: 0x15, jumpFalse: secondArgument == nil ? 1 : 3, operand: number),  // the one meant?
        Instruction(code: 0x06, operand: 0x0005_0000 | UInt32(error)),  // SECCOMP_RET_ERRNO
        Instruction(code: 0x06, operand: 0x7fff_0000),  // SECCOMP_RET_ALLOW
    ]
    if let secondArgument {
        let check = [
            Instruction(code: 0x20, operand: 24),  // load the second argument, its lower half
            Instruction(code: 0x15, jumpFalse: 1, operand: UInt32(secondArgument)),
        ]
        instructions.insert(contentsOf: check, at: 2)
    }
    try #require(control(38, 1, 0, 0, 0) == 0)  // PR_SET_NO_NEW_PRIVS
    try instructions.withUnsafeBufferPointer { buffer in
        var program = Program(count: UInt16(buffer.count), instructions: buffer.baseAddress!)
        try withUnsafePointer(to: &program) { program in
            try #require(control(22, 2, UInt(bitPattern: program), 0, 0) == 0)  // PR_SET_SECCOMP, filter
        }
    }
}

@Suite(.needsRing) struct DenialTests {
    @Test func theProbeFindsNothingWhereRingsAreAllowed() {
        let reason = RingProbe.denialReason()
        #expect(reason == nil, "\(reason?.description ?? "")")
    }

    @Test(
        arguments: [
            (425, EPERM, "io_uring_setup"),  // Docker from 25.0
            (425, ENOSYS, "io_uring_setup"),  // Podman, CRI-O
            (425, EINVAL, "io_uring_setup"),  // a kernel that knows no flag of ours
            (425, ENOMEM, "io_uring_setup"),
            (426, EPERM, "io_uring_enter"),
            (427, EPERM, "io_uring_enable_rings"),
        ] as [(UInt32, Int32, String)])
    func theProbeNamesWhatIsDenied(systemCall: UInt32, error: Int32, operation: String) async {
        await #expect(processExitsWith: .success) { [systemCall, error, operation] in
            try deny(systemCall: systemCall, with: error)
            let reason = try #require(RingProbe.denialReason())
            #expect(reason.errno == error)
            #expect("\(reason.operation)" == operation)
            #expect(reason.isDenied)
        }
    }

    /// As before Linux 5.10.
    @Test func whereRestrictionsAreUnknownTheRingIsEnabledWithoutThem() async {
        await #expect(processExitsWith: .success) {
            try deny(systemCall: 427, secondArgument: IORING_REGISTER_RESTRICTIONS, with: EINVAL)
            var ring = try makeRing()
            let isRestricted = ring.isRestricted
            #expect(!isRestricted)
            let queued = ring.fsync(file: .descriptor(987_654), dataOnly: true, tag: .number(1))
            #expect(queued)
            #expect(try ring.completions(1) == [.last(.number(1), -EBADF)])
        }
    }

    @Test(arguments: [EAGAIN, EBUSY])
    func aKernelShortOfMemoryLeavesSubmissionsQueuedWithoutAnError(error: Int32) async {
        await #expect(processExitsWith: .success) { [error] in
            var ring = try makeRing()
            let queued = ring.fsync(file: .descriptor(987_654), dataOnly: true, tag: .number(1))
            #expect(queued)
            try deny(systemCall: 426, with: error)
            var completions: [RingCompletion] = []
            for timeoutMicroseconds in [0, 1_000, nil] as [Int64?] {
                try ring.submitAndWait(timeoutMicroseconds: timeoutMicroseconds, into: &completions)
            }
            try ring.submit()
            let queuedCount = ring.queuedCount
            #expect(queuedCount == 1)
            #expect(completions.isEmpty)
        }
    }

    @Test func aRingThatDoesNotFitTheDescriptorLimitIsNoDenial() async {
        await #expect(processExitsWith: .success) {
            let descriptors = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
            var limit = rlimit()
            try #require(getrlimit(descriptors, &limit) == 0)
            var none = rlimit(rlim_cur: 0, rlim_max: limit.rlim_max)
            try #require(setrlimit(descriptors, &none) == 0)
            let reason = try #require(RingProbe.denialReason())
            // A leak sanitizer opens files of its own at the end.
            try #require(setrlimit(descriptors, &limit) == 0)
            #expect(reason.errno == EMFILE)
            #expect(!reason.isDenied)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become a user without CAP_IPC_LOCK"))
    func buffersBeyondTheMemlockLimitAreRefusedAndTheRingStaysUsable() async {
        await #expect(processExitsWith: .success) {
            let file = try ScratchFile()
            let buffer = AlignedBuffer(byteCount: 4 << 20)
            var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
            // RLIMIT_MEMLOCK is 8; its macro is not imported.
            try #require(setrlimit(__rlimit_resource_t(8), &limit) == 0)
            try #require(setuid(61_234) == 0)
            var ring = try Ring(entries: 8)
            var caught: RingError?
            do throws(RingError) { try ring.registerBuffers([buffer.bytes]) } catch { caught = error }
            #expect(caught?.errno == ENOMEM)
            #expect(ring.registeredBufferCount == 0)
            try ring.restrictAndEnable()
            let queued = ring.write(
                file: .descriptor(file.descriptor), buffer: buffer.prefix(4096), fileOffset: 0, dataSync: true,
                tag: .number(1))
            #expect(queued)
            #expect(try ring.completions(1) == [.last(.number(1), 4096)])
        }
    }
}
