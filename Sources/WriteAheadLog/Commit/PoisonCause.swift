import Glibc

/// Why a write-ahead log refuses to acknowledge anything more.
public enum PoisonCause: Equatable, Sendable, CustomStringConvertible {
    case write(errno: Int32)
    case sync(errno: Int32)

    public var description: String {
        switch self {
        case .write(let code): "writing the write-ahead log failed: \(errnoSentence(code))"
        case .sync(let code): "syncing the write-ahead log failed: \(errnoSentence(code))"
        }
    }
}

/// A write that made no progress and gave no error counts as an input/output error.
let noProgressErrno = EIO
/// What a linked request completes with when the one before it failed or was short.
let cancelledErrno = ECANCELED
