import LogFormat

/// Something in a data directory that is not as an acknowledged write left it.
public struct Damage: Error, Equatable, CustomStringConvertible {
    /// The file, relative to the data directory.
    public let file: String
    /// The place: a position in the write-ahead log, where it is known.
    public let position: Position?
    /// What is wrong, as a clause.
    public let cause: String

    public init(file: String, position: Position?, cause: String) {
        self.file = file
        self.position = position
        self.cause = cause
    }

    public var description: String {
        let place = position.map { " at position \($0.rawValue)" } ?? ""
        return "\(file)\(place): \(cause)"
    }
}

/// Why a write-ahead log does not open.
public enum CommitLogError: Error, CustomStringConvertible {
    /// Another process holds the directory's lock.
    case inUse(directory: String)
    /// A sync on this file system may do nothing.
    case unsafeFileSystem(directory: String, kind: String)
    case damaged(Damage)
    /// The directory holds what is in the wrong hands here.
    case otherContent(directory: String, SegmentContent)
    /// Written by a newer version: what this one does not know, as a sentence.
    case unsupported(file: String, what: String)
    /// The configuration cannot work.
    case configuration(String)
    case file(FileError)
    /// io_uring was asked for and the kernel refuses it.
    case engine(String)
    /// The first commit of this process failed.
    case poisoned(PoisonCause)

    public var description: String {
        switch self {
        case .inUse(let directory):
            "the data directory \(directory) is in use by another process: stop it, or choose another directory"
        case .unsafeFileSystem(let directory, let kind):
            "the data directory \(directory) is on \(kind), where a sync may make nothing durable: "
                + "choose a directory on a real disk, or insist with --allow-unsafe-filesystem"
        case .damaged(let damage):
            "the write-ahead log is damaged: \(damage). No segment and no checkpoint was changed. "
                + "`appendlog verify DIR` lists all damage, `appendlog repair DIR` writes a copy of what is whole; "
                + "or restore the file from a copy"
        case .otherContent(let directory, .singleLog):
            "the data directory \(directory) holds the records of a program that embeds the write-ahead log, and no logs of "
                + "appendlog: choose another directory"
        case .otherContent(let directory, .namedLogs):
            "the data directory \(directory) holds logs of appendlog: open it with `appendlog serve`"
        case .unsupported(let file, let what):
            "\(file): \(what) Start the version that wrote it, or a newer one"
        case .configuration(let text): text
        case .file(let error): error.description
        case .engine(let text): text
        case .poisoned(let cause): cause.description
        }
    }
}
