import Glibc

/// An operation on the ring itself that the kernel refused. What became of single submissions stands in their
/// `RingCompletion.result` instead.
public struct RingError: Error, Sendable, CustomStringConvertible {
    /// The call that failed, in the kernel's or liburing's own word.
    public let operation: StaticString
    /// The kernel's error number, positive.
    public let errno: Int32

    public init(operation: StaticString, errno: Int32) {
        self.operation = operation
        self.errno = errno
    }

    /// Whether this process is not given a ring (or not one that suffices) here, so that plain system calls have to do.
    ///
    /// `EINVAL` counts: from set-up it means a kernel that knows none of the flags asked for. Meant for the errors of
    /// `Ring.init`, `Ring.registerBuffers`, `Ring.restrictAndEnable` and `RingProbe`.
    public var isDenied: Bool {
        switch errno {
        case EPERM, EACCES, ENOSYS, ENOMEM, EOPNOTSUPP, EINVAL: true
        default: false
        }
    }

    public var description: String { "\(operation) failed: \(sentence)" }

    private var sentence: String {
        switch errno {
        case EPERM:
            "EPERM: io_uring is forbidden here, by a seccomp profile (Docker's default) or by kernel.io_uring_disabled"
        case EACCES: "EACCES: forbidden by a security policy or by the ring's own restrictions"
        case ENOSYS: "ENOSYS: this kernel or sandbox has no io_uring that suffices (Linux 5.11 is needed)"
        case ENOMEM: "ENOMEM: no memory may be locked for the ring; raise the memlock limit (ulimit -l)"
        case EOPNOTSUPP: "EOPNOTSUPP: this kernel does not support the operation"
        case EINVAL: "EINVAL: this kernel does not know the flags or arguments"
        case EMFILE: "EMFILE: this process has too many open files (ulimit -n)"
        case ENFILE: "ENFILE: the system has too many open files"
        case EEXIST: "EEXIST: the ring belongs to the thread that enabled it, and this is another one"
        case EBADFD: "EBADFD: the ring has not been enabled, or was enabled already"
        case EBADF: "EBADF: the descriptor is not open"
        case EFAULT: "EFAULT: a buffer lies outside the memory of this process"
        case ENXIO: "ENXIO: no file table is registered"
        case EBUSY: "EBUSY: this is registered already, or completions have to be taken first"
        case EAGAIN: "EAGAIN: the kernel has no memory for requests at the moment"
        case ECANCELED:
            "ECANCELED: a linked pair was taken in half, so that its second part is not ordered after the first"
        default: "errno \(errno)"
        }
    }
}
