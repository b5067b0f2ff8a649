import Glibc
import Testing

@testable import URing

@Suite struct RingTagTests {
    @Test(arguments: [UInt8(0), 1, 0x7f, 0x80, 0xff], [UInt64(0), 1, 1 << 55, RingTag.numberLimit - 1])
    func aTagGivesBackItsKindAndNumber(kind: UInt8, number: UInt64) {
        let tag = RingTag(rawValue: RingTag(kind: kind, number: number).rawValue)
        #expect(tag.kind == kind)
        #expect(tag.number == number)
        #expect(tag.rawValue >> 56 == UInt64(kind))
    }

    @Test func aNumberThatWouldSpillIntoTheKindTraps() async {
        await #expect(processExitsWith: .failure) { _ = RingTag(kind: 0, number: RingTag.numberLimit) }
    }
}

@Suite struct RingErrorTests {
    @Test(arguments: [EPERM, EACCES, ENOSYS, ENOMEM, EOPNOTSUPP, EINVAL])
    func aRefusalOfTheMachineCountsAsDenied(error: Int32) {
        #expect(RingError(operation: "io_uring_setup", errno: error).isDenied)
    }

    @Test(arguments: [EMFILE, ENFILE, EEXIST, EBADFD, EBADF, EFAULT, ENXIO, EBUSY, EAGAIN, ECANCELED])
    func anErrorOfUseDoesNotCountAsDenied(error: Int32) {
        let failure = RingError(operation: "io_uring_enter", errno: error)
        #expect(!failure.isDenied)
        #expect(failure.description.hasPrefix("io_uring_enter failed: E"))
    }

    @Test func anErrorWithoutASentenceStillHasItsNumber() {
        #expect(RingError(operation: "io_uring_enter", errno: 4095).description == "io_uring_enter failed: errno 4095")
    }
}
