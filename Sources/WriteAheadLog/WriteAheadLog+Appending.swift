import CommitLog
import LogFormat

extension WriteAheadLog {
    /// Accepts one record, copying its bytes once. It is durable when the token is completed.
    ///
    /// Throws `tooLarge`, `pendingLimit`, `noSpace`, `poisoned` or `shutDown`; nothing was accepted then. Blocks while there is no
    /// room, unless the configuration says `.fails`.
    public func append(_ record: UnsafeRawBufferPointer) throws(WriteAheadLogError) -> CompletionToken {
        unsafe try append(record, wakes: true)
    }

    /// As `append(_:)` of a buffer.
    public func append(_ record: RawSpan) throws(WriteAheadLogError) -> CompletionToken {
        try append(record, wakes: true)
    }

    /// As `append(_:)` of a buffer.
    public func append(_ record: [UInt8]) throws(WriteAheadLogError) -> CompletionToken {
        unsafe try append(record.span.bytes, wakes: true)
    }

    /// Accepts several records as one: they are durable together, or none of them is there, whatever happens. Their
    /// positions follow one another.
    ///
    /// Throws as `append(_:)` does. Without records the token is that of everything accepted before.
    public func append(contentsOf records: some Collection<[UInt8]>) throws(WriteAheadLogError) -> CompletionToken {
        try append(contentsOf: records, wakes: true)
    }

    /// Appends one record and blocks until it is on the disk: as `append(_:)` and `wait()`, for less. When nothing else is
    /// under way the calling thread writes by itself.
    ///
    /// Throws as both do: behind `poisoned` the record may be there after the next opening.
    @discardableResult
    public func appendAndWait(_ record: UnsafeRawBufferPointer) throws(WriteAheadLogError) -> AppendResult {
        unsafe try append(record, wakes: false).wait()
    }

    /// As `appendAndWait(_:)` of a buffer.
    @discardableResult
    public func appendAndWait(_ record: RawSpan) throws(WriteAheadLogError) -> AppendResult {
        try append(record, wakes: false).wait()
    }

    /// As `appendAndWait(_:)` of a buffer.
    @discardableResult
    public func appendAndWait(_ record: [UInt8]) throws(WriteAheadLogError) -> AppendResult {
        unsafe try append(record.span.bytes, wakes: false).wait()
    }

    /// Appends several records as one and blocks until they are on the disk: as `append(contentsOf:)` and `wait()`.
    @discardableResult
    public func appendAndWait(
        contentsOf records: some Collection<[UInt8]>
    ) throws(WriteAheadLogError) -> AppendResult {
        try append(contentsOf: records, wakes: false).wait()
    }

    private func append(
        _ record: UnsafeRawBufferPointer, wakes: Bool
    ) throws(WriteAheadLogError) -> CompletionToken {
        unsafe try loop.append(records: 1, bytes: record.count, wakes: wakes) { lengths, payload in
            unsafe lengths.storeBytes(of: UInt32(record.count).littleEndian, as: UInt32.self)
            unsafe payload.copyMemory(from: record)
        }
    }

    private func append(_ record: RawSpan, wakes: Bool) throws(WriteAheadLogError) -> CompletionToken {
        let result: Result<CompletionToken, WriteAheadLogError> = unsafe record.withUnsafeBytes { bytes in
            Result { () throws(WriteAheadLogError) in unsafe try append(bytes, wakes: wakes) }
        }
        return try result.get()
    }

    private func append(
        contentsOf records: some Collection<[UInt8]>, wakes: Bool
    ) throws(WriteAheadLogError) -> CompletionToken {
        let bytes = records.reduce(0) { $0 + $1.count }
        return unsafe try loop.append(records: records.count, bytes: bytes, wakes: wakes) { lengths, payload in
            var index = 0
            var offset = 0
            for record in records {
                precondition(
                    index < lengths.count && record.count <= payload.count - offset, "a collection gave other records")
                unsafe lengths.storeBytes(of: UInt32(record.count).littleEndian, toByteOffset: index, as: UInt32.self)
                unsafe UnsafeMutableRawBufferPointer(rebasing: payload[offset...]).copyBytes(from: record)
                index += 4
                offset += record.count
            }
        }
    }
}
