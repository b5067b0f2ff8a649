import CLinux
import Glibc

/// What was found out about the data directory's disk, and what follows from it.
struct DiskProbe {
    /// File systems whose direct writes with RWF_DSYNC are known to end with a sync, io_uring's too: ext2 to ext4, XFS,
    /// btrfs, F2FS. On FUSE none is sent (measured); those on the kernel's netfs library (9p, CIFS, AFS) leave it out.
    private static let syncsDirectWrites: Set<Int64> = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010]
    /// File systems whose sync may make nothing durable: memory, and overlays, which can be mounted `volatile`.
    private static let unsafeKinds: [Int64: String] = [
        0x0102_1994: "tmpfs", 0x8584_58f6: "ramfs", 0x794c_7630: "overlayfs",
    ]

    let mode: WriteMode
    /// Why this mode, as a clause.
    let reason: String
    /// Bytes of a block: what every commit write is aligned to.
    let blockBytes: Int

    init(mode: WriteMode, reason: String, blockBytes: Int) {
        self.mode = mode
        self.reason = reason
        self.blockBytes = blockBytes
    }

    /// Throws for a file system that is not safe, or not for what was asked for. Looks at the directory, or at the one
    /// that it will be made in, and changes nothing.
    static func admit(
        _ configuration: CommitLogConfiguration, _ directory: DataDirectory
    ) throws(CommitLogError) {
        var kind = kind(of: directory.path)
        if kind == -Int64(ENOENT) { kind = Self.kind(of: directory.parentPath) }
        // What cannot be looked at cannot be made either: the making says so.
        guard kind >= 0 else { return }
        try check(kind, configuration, directory)
    }

    private static func kind(of path: String) -> Int64 {
        unsafe path.withCString { unsafe clinux_file_system_type($0) }
    }

    private static func check(
        _ kind: Int64, _ configuration: CommitLogConfiguration, _ directory: DataDirectory
    ) throws(CommitLogError) {
        if configuration.allowsUnsafeFileSystem { return }
        if let name = unsafeKinds[kind] { throw .unsafeFileSystem(directory: directory.path, kind: name) }
        guard configuration.mode != .direct || syncsDirectWrites.contains(kind) else {
            throw .engine(
                "direct I/O was asked for, and this file system is not known to sync direct writes: "
                    + "leave the mode to be chosen, or insist with --allow-unsafe-filesystem")
        }
    }

    /// Throws for a file system that is not safe, and for a direct mode that was asked for and is refused.
    init(_ configuration: CommitLogConfiguration, _ directory: DataDirectory) throws(CommitLogError) {
        let kind = Self.kind(of: directory.path)
        guard kind >= 0 else {
            throw .file(FileError(operation: "statfs", path: directory.path, code: Int32(-kind)))
        }
        try Self.check(kind, configuration, directory)
        let direct = Self.tryDirect(directory)
        let isKnownToSync = Self.syncsDirectWrites.contains(kind)
        blockBytes = max(CommitLogLimits.blockBytesMin, direct.alignmentBytes)
        switch configuration.mode {
        case .buffered:
            (mode, reason) = (.buffered, "buffered writes were asked for")
        case .direct:
            guard direct.errorCode == 0 else {
                throw .engine("direct I/O was asked for and refused: \(errnoSentence(direct.errorCode))")
            }
            (mode, reason) = (.direct, "direct I/O was asked for")
        case .auto where !isKnownToSync:
            (mode, reason) = (.buffered, "this file system is not known to sync direct writes")
        case .auto where direct.errorCode != 0:
            (mode, reason) = (.buffered, "direct I/O is refused: \(errnoSentence(direct.errorCode))")
        case .auto:
            (mode, reason) = (.direct, "the file system takes direct I/O")
        }
    }

    /// Writes one aligned block past the page cache to a file of its own.
    private static func tryDirect(_ directory: DataDirectory) -> (errorCode: Int32, alignmentBytes: Int) {
        let path = "\(directory.path)/probe.tmp"
        let flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | clinux_open_direct_flag()
        let descriptor = unsafe open(path, flags, 0o640)
        guard descriptor >= 0 else { return (refusal(errno), 0) }
        defer {
            close(descriptor)
            unsafe _ = unlink(path)
        }
        let told = clinux_direct_io_alignment(descriptor)
        let alignment = max(CommitLogLimits.blockBytesMin, told > 0 ? Int(told) : 0)
        var block: UnsafeMutableRawPointer?
        guard unsafe posix_memalign(&block, alignment, alignment) == 0, let block = unsafe block else {
            return (ENOMEM, 0)
        }
        defer { unsafe free(block) }
        unsafe _ = memset(block, 0, alignment)
        let written = unsafe clinux_write_data_sync(descriptor, block, alignment, 0)
        guard written == alignment else { return (refusal(written < 0 ? Int32(-written) : EIO), alignment) }
        return (0, alignment)
    }
}

/// What an error says about direct I/O: a full disk says nothing.
private func refusal(_ code: Int32) -> Int32 { code == ENOSPC || code == EDQUOT ? 0 : code }

/// The lock that keeps a second server or a repair out of a data directory. The kernel gives it back when the
/// process ends, however it ends.
struct DirectoryLock: ~Copyable {
    private let descriptor: Int32

    /// `isShared` is for readers of a directory that no server writes.
    init(_ directory: DataDirectory, isShared: Bool = false) throws(CommitLogError) {
        let descriptor = unsafe open(
            directory.lockPath, isShared ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else {
            throw .file(FileError(operation: "open", path: directory.lockPath, code: errno))
        }
        guard flock(descriptor, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            if code == EWOULDBLOCK { throw .inUse(directory: directory.path) }
            throw .file(FileError(operation: "flock", path: directory.lockPath, code: code))
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Keeps everybody out for as long as the process lives.
    consuming func giveUp() { discard self }
}
