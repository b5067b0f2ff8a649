/// Collects little-endian integers and bytes, for files that are written rarely (checkpoints, indexes).
public struct ByteWriter: Sendable {
    /// What was written so far.
    public private(set) var bytes: [UInt8] = []

    public init(reservingBytes: Int = 0) {
        bytes.reserveCapacity(reservingBytes)
    }

    /// How many bytes were written.
    public var count: Int { bytes.count }

    /// Appends an integer. Only unsigned types, so that a literal has to say its width: `append(UInt32(7))`.
    public mutating func append<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value) {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    /// Appends bytes as they are.
    public mutating func append(bytes source: UnsafeRawBufferPointer) {
        unsafe bytes.append(contentsOf: source)
    }

    /// Appends bytes as they are.
    public mutating func append(bytes source: some Collection<UInt8>) {
        bytes.append(contentsOf: source)
    }

    /// Overwrites the integer that begins at `offset`, for counts and checksums known only at the end.
    public mutating func replace<Value: FixedWidthInteger & UnsignedInteger>(at offset: Int, with value: Value) {
        precondition(offset >= 0 && offset <= bytes.count - MemoryLayout<Value>.size, "nothing was written there")
        for index in 0..<MemoryLayout<Value>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }

    /// The CRC32C of everything written from `start` on.
    public func checksum(from start: Int = 0) -> UInt32 {
        precondition(start >= 0 && start <= bytes.count)
        return unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum($0.part(start..<$0.count)) }
    }
}
