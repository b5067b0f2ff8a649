import CommitLog

/// Why a log does not open, refuses something, or does not answer as hoped.
public enum WriteAheadLogError: Error, Sendable, Equatable {
    /// A field of the configuration is out of its limits, or the disk cannot work with it; a sentence.
    case configuration(String)
    /// Another log has the directory open, in this process or another one.
    case inUse(directory: String)
    /// A sync on this kind of file system may make nothing durable.
    case unsafeFileSystem(directory: String, kind: String)
    /// The directory holds something else: logs of the appendlog service.
    case otherContent(directory: String)
    /// A newer version wrote the file; a sentence.
    case unsupported(file: String, what: String)
    /// A file is not as an acknowledged write left it. The file is relative to the log's directory.
    case damaged(file: String, cause: String)
    /// A call on a file failed: what was called, on which file, and its errno.
    case file(operation: String, path: String, errno: Int32)
    /// io_uring was asked for and is refused; a sentence.
    case engine(String)
    /// A write or sync failed: nothing is acknowledged any more until the log is opened anew. An append that ends so may
    /// be there after that, whole, or not at all; a sentence.
    case poisoned(String)
    /// `shutdown` was called.
    case shutDown
    /// No room now, and the configuration says that an append does not wait.
    case pendingLimit
    /// The records do not fit one batch.
    case tooLarge(bytes: Int, bytesMax: Int)
    /// No further segment can be made, as the disk is full.
    case noSpace(String)
    /// What was asked for has been truncated: records begin there.
    case truncated(first: RecordPosition)
    /// There is no such place: the last record ends there.
    case beyondEnd(next: RecordPosition)
}

extension WriteAheadLogError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .configuration(let text), .engine(let text), .poisoned(let text), .noSpace(let text): text
        case .inUse(let directory): "the log in \(directory) is open already"
        case .unsafeFileSystem(let directory, let kind):
            "the directory \(directory) is on \(kind), where a sync may make nothing durable: choose one on a real disk, or set "
                + "allowsUnsafeFileSystem"
        case .otherContent(let directory): "the directory \(directory) holds logs of the appendlog service"
        case .unsupported(let file, let what): "\(file): \(what) Use the version that wrote it, or a newer one"
        case .damaged(let file, let cause): "the log is damaged: \(file): \(cause). Nothing was changed"
        case .file(let operation, let path, let code): "\(operation) \(path): \(errnoSentence(code))"
        case .shutDown: "the log was shut down"
        case .pendingLimit: "too much is pending"
        case .tooLarge(let bytes, let limit): "the records have \(bytes) bytes, a batch takes \(limit)"
        case .truncated(let first): "the records there are gone: the first one is at \(first)"
        case .beyondEnd(let next): "there is no record there yet: the next one will be at \(next)"
        }
    }
}

extension WriteAheadLogError {
    init(_ error: CommitLogError) {
        switch error {
        case .inUse(let directory): self = .inUse(directory: directory)
        case .unsafeFileSystem(let directory, let kind): self = .unsafeFileSystem(directory: directory, kind: kind)
        case .damaged(let damage):
            let place = damage.position.map { " (position \($0))" } ?? ""
            self = .damaged(file: damage.file, cause: damage.cause + place)
        case .otherContent(let directory, _): self = .otherContent(directory: directory)
        case .unsupported(let file, let what): self = .unsupported(file: file, what: what)
        case .configuration(let text): self = .configuration(text)
        case .file(let error): self.init(error)
        case .engine(let text): self = .engine(text)
        case .poisoned(let cause): self = .poisoned(cause.description)
        }
    }

    init(_ error: FileError) {
        self = .file(operation: error.operation, path: error.path, errno: error.code)
    }
}
