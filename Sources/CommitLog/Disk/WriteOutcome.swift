import CLinux
import Glibc

/// What became of a commit write that was waited for.
public struct WriteOutcome: Sendable {
    /// Bytes written, or a negative errno.
    var written: Int32
    /// What the sync behind it gave: 0 or a negative errno. Without meaning where the write syncs by itself.
    var synced: Int32
}

extension WriteOutcome {
    /// Writes the bytes and syncs them, blocking the calling thread. A short or failed write cancels the sync behind it,
    /// as a link in the ring would.
    init(writing bytes: UnsafeRawBufferPointer, to descriptor: Int32, at fileOffset: UInt64, mode: WriteMode) {
        switch mode {
        case .direct:
            let count = unsafe clinux_write_data_sync(descriptor, bytes.baseAddress, bytes.count, off_t(fileOffset))
            self.init(written: Int32(clamping: count), synced: 0)
        case .buffered:
            var count: Int
            repeat {
                count = unsafe pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(fileOffset))
            } while count < 0 && errno == EINTR
            let written = count < 0 ? -errno : Int32(clamping: count)
            guard count == bytes.count else {
                self.init(written: written, synced: -cancelledErrno)
                return
            }
            self.init(written: written, synced: fdatasync(descriptor) == 0 ? 0 : -errno)
        }
    }
}
