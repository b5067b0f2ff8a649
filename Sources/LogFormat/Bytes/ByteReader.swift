/// Reads little-endian integers and runs of bytes one after another and never past the end. It owns no memory: the
/// bytes given to `init` must outlive it and everything that it returns.
@safe
public struct ByteReader {
    @usableFromInline let bytes: UnsafeRawBufferPointer
    /// How many bytes were read.
    public private(set) var offset = 0

    public init(_ bytes: UnsafeRawBufferPointer) {
        unsafe self.bytes = unsafe bytes
    }

    /// How many bytes are left.
    public var remainingBytes: Int { unsafe bytes.count - offset }

    /// The next integer, for instance `let count: UInt32 = try reader.read()`. Throws `FormatError.truncated`, and has
    /// then read nothing.
    @inlinable
    public mutating func read<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self
    ) throws(FormatError) -> Value {
        let start = try advance(by: MemoryLayout<Value>.size)
        return unsafe Value(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Value.self))
    }

    /// The next `byteCount` bytes, in place. Throws `FormatError.truncated`, and has then read nothing.
    public mutating func readBytes(_ byteCount: Int) throws(FormatError) -> UnsafeRawBufferPointer {
        let start = try advance(by: byteCount)
        return unsafe bytes.part(start..<start + byteCount)
    }

    @usableFromInline
    mutating func advance(by byteCount: Int) throws(FormatError) -> Int {
        guard byteCount >= 0 else { throw .badLength }
        guard byteCount <= remainingBytes else { throw .truncated(needed: byteCount, available: remainingBytes) }
        defer { offset += byteCount }
        return offset
    }
}
