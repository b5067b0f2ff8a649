import Glibc

/// Why a write-ahead log refuses to acknowledge anything more.
public enum PoisonCause: Equatable, Sendable, CustomStringConvertible {
    case write(errno: Int32)
    case sync(errno: Int32)
    /// What carries writes to the kernel failed as a whole, as a sentence; what became of those under way is not known.
    case engine(String)

    public var description: String {
        switch self {
        case .write(let code): "writing the write-ahead log failed: \(errnoSentence(code))"
        case .sync(let code): "syncing the write-ahead log failed: \(errnoSentence(code))"
        case .engine(let text): "the engine of the write-ahead log failed: \(text)"
        }
    }
}

/// A write that made no progress and gave no error counts as an input/output error.
let noProgressErrno = EIO
/// What a linked request completes with when the one before it failed or was short.
let cancelledErrno = ECANCELED
