import CLibURing

/// What a restricted ring still may do. Everything else is answered with `EACCES`, so that somebody who gets hold of
/// the ring's descriptor or of this process's memory cannot open files or connect through it.
enum RingRestrictions {
    /// Exactly the operations that `Ring` submits.
    static let operations = [
        IORING_OP_WRITE, IORING_OP_WRITE_FIXED, IORING_OP_READ, IORING_OP_FSYNC, IORING_OP_POLL_ADD,
    ]

    /// The operations, the flags of a submission, and the one registration that a segment turn needs.
    static var list: [io_uring_restriction] {
        var list = operations.map { operation in
            rule(UInt16(IORING_RESTRICTION_SQE_OP)) { $0.sqe_op = UInt8(operation.rawValue) }
        }
        list.append(rule(UInt16(IORING_RESTRICTION_SQE_FLAGS_ALLOWED)) { $0.sqe_flags = SubmissionFlag.all })
        list.append(
            rule(UInt16(IORING_RESTRICTION_REGISTER_OP)) {
                $0.register_op = UInt8(IORING_REGISTER_FILES_UPDATE)
            })
        return list
    }

    private static func rule(
        _ kind: UInt16, _ fill: (inout io_uring_restriction) -> Void
    ) -> io_uring_restriction {
        var rule = io_uring_restriction()
        rule.opcode = kind
        fill(&rule)
        return rule
    }
}
