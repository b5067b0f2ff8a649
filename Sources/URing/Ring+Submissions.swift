import CLibURing
import Glibc

/// The flags of a submission that are used here. The C macros are not imported, as they refer to an enum's constants.
enum SubmissionFlag {
    /// `IOSQE_FIXED_FILE`: the file is a slot of the file table.
    static let registeredFile = UInt8(1) << UInt8(IOSQE_FIXED_FILE_BIT)
    /// `IOSQE_IO_LINK`: the next submission starts when this one has succeeded whole, and is cancelled otherwise.
    static let linkNext = UInt8(1) << UInt8(IOSQE_IO_LINK_BIT)
    static let all = registeredFile | linkNext
}

/// Queueing. Each function queues one submission and returns false, having done nothing, when the queue is full;
/// nothing reaches the kernel before `submit` or `submitAndWait`.
extension Ring {
    /// The most bytes that Linux moves in one read or write (`MAX_RW_COUNT`).
    public static let transferBytesMax = 0x7fff_f000

    /// Queues a write at a place of the file.
    ///
    /// - Parameters:
    ///   - buffer: must stay in place and unchanged until the completion; at most `transferBytesMax`.
    ///   - bufferIndex: the registered buffer in which `buffer` lies (as a whole), if it does.
    ///   - dataSync: complete only when the bytes are on stable storage (`RWF_DSYNC`).
    ///   - linkNext: start the next submission, which has to be queued before submitting, only after this one wrote
    ///     all its bytes; after an error or a short write it completes with `-ECANCELED`.
    /// - Returns: false if the queue is full; with `linkNext` also if the next one would not fit.
    public mutating func write(
        file: FileTarget, buffer: UnsafeRawBufferPointer, bufferIndex: Int? = nil, fileOffset: UInt64, dataSync: Bool,
        linkNext: Bool = false, tag: RingTag
    ) -> Bool {
        unsafe precondition(!buffer.isEmpty && buffer.count <= Self.transferBytesMax, "a write moves 1 byte to 2 GiB")
        // A pair is queued whole or not at all: two submits would cut the link.
        guard let entry = unsafe nextEntry(room: linkNext ? 2 : 1) else { return false }
        let descriptor = number(of: file)
        let byteCount = UInt32(buffer.count)
        if let bufferIndex {
            precondition((0..<registeredBufferCount).contains(bufferIndex), "no such buffer is registered")
            unsafe io_uring_prep_write_fixed(
                entry, descriptor, buffer.baseAddress, byteCount, fileOffset, Int32(bufferIndex))
        } else {
            unsafe io_uring_prep_write(entry, descriptor, buffer.baseAddress, byteCount, fileOffset)
        }
        unsafe entry.pointee.rw_flags = dataSync ? RWF_DSYNC : 0
        unsafe finish(entry, file: file, flags: linkNext ? SubmissionFlag.linkNext : 0, tag: tag)
        return true
    }

    /// Queues a sync of the file. It covers the writes that have completed before it starts.
    /// - Parameter dataOnly: as `fdatasync`, leaving out metadata that reading the data back does not need.
    public mutating func fsync(file: FileTarget, dataOnly: Bool, tag: RingTag) -> Bool {
        guard let entry = unsafe nextEntry(room: 1) else { return false }
        unsafe io_uring_prep_fsync(entry, number(of: file), dataOnly ? IORING_FSYNC_DATASYNC : 0)
        unsafe finish(entry, file: file, flags: 0, tag: tag)
        return true
    }

    /// Queues a read from a place of the file.
    /// - Parameter buffer: belongs to the kernel until the completion; at most `transferBytesMax`.
    public mutating func read(
        file: FileTarget, buffer: UnsafeMutableRawBufferPointer, fileOffset: UInt64, tag: RingTag
    ) -> Bool {
        unsafe precondition(!buffer.isEmpty && buffer.count <= Self.transferBytesMax, "a read moves 1 byte to 2 GiB")
        guard let entry = unsafe nextEntry(room: 1) else { return false }
        unsafe io_uring_prep_read(entry, number(of: file), buffer.baseAddress, UInt32(buffer.count), fileOffset)
        unsafe finish(entry, file: file, flags: 0, tag: tag)
        return true
    }

    /// Queues a poll for input (`POLLIN`) that completes again and again, until a completion has `hasMore` false.
    ///
    /// It is an edge: what was ready and not taken does not complete again.
    public mutating func pollMultishot(descriptor: Int32, tag: RingTag) -> Bool {
        guard let entry = unsafe nextEntry(room: 1) else { return false }
        unsafe io_uring_prep_poll_multishot(entry, descriptor, UInt32(POLLIN))
        unsafe finish(entry, file: .descriptor(descriptor), flags: 0, tag: tag)
        return true
    }

    /// The next free entry of the queue if at least `room` are free.
    private func nextEntry(room: UInt32) -> UnsafeMutablePointer<io_uring_sqe>? {
        guard unsafe io_uring_sq_space_left(ring) >= room else { return nil }
        return unsafe io_uring_get_sqe(ring)
    }

    private func number(of file: FileTarget) -> Int32 {
        switch file {
        case .descriptor(let descriptor): return descriptor
        case .registered(let slot):
            precondition((0..<registeredFileCount).contains(slot), "the file table has no such slot")
            return Int32(slot)
        }
    }

    /// The preparing functions of liburing clear the flags, so these come last.
    private mutating func finish(
        _ entry: UnsafeMutablePointer<io_uring_sqe>, file: FileTarget, flags: UInt8, tag: RingTag
    ) {
        var flags = flags
        if case .registered = file { flags |= SubmissionFlag.registeredFile }
        unsafe entry.pointee.flags = flags
        unsafe entry.pointee.user_data = tag.rawValue
        outstandingCount += 1
    }
}
