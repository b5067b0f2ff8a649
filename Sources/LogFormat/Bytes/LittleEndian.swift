/// Integers of the format: little-endian, at any alignment. The standard library checks bounds here only in debug
/// builds, so whoever calls these has checked the length before.
extension UnsafeRawBufferPointer {
    /// The integer whose first byte is at `offset`.
    @inline(__always)
    func integer<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: Value.Type = Value.self) -> Value
    {
        unsafe Value(littleEndian: loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// The bytes of `range`, counted from 0 again.
    @inline(__always)
    func part(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        assert(range.lowerBound >= 0 && range.upperBound <= count)
        return unsafe UnsafeRawBufferPointer(rebasing: self[range])
    }

    /// The store id whose first byte is at `offset`.
    func storeID(at offset: Int) -> StoreID {
        unsafe StoreID(first: integer(at: offset), second: integer(at: offset + 8))
    }

    /// Whether each byte of `range` is zero.
    func isZero(in range: Range<Int>) -> Bool {
        for offset in range where unsafe self[offset] != 0 { return false }
        return true
    }
}

extension UnsafeMutableRawPointer {
    /// Writes the integer at `offset`.
    @inline(__always)
    func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
    }

    /// Writes the sixteen bytes of a store id at `offset`.
    func store(_ storeID: StoreID, at offset: Int) {
        unsafe store(storeID.first, at: offset)
        unsafe store(storeID.second, at: offset + 8)
    }
}

/// The next multiple of `alignment` (a power of two) that is not below `count`.
@inline(__always)
func roundUp(_ count: Int, toMultipleOf alignment: Int) -> Int {
    assert(alignment > 0 && alignment & (alignment - 1) == 0)
    return (count + alignment - 1) & ~(alignment - 1)
}
