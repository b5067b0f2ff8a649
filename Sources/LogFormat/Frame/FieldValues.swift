/// The value of the field `producer`: u64 epoch, u64 sequence, the producer's id.
@safe
public struct ProducerField {
    /// Epochs and sequence numbers stay below 2^63.
    public static let numberMax = UInt64(Int64.max)
    public static let idBytesMax = 128

    public let id: UnsafeRawBufferPointer
    public let epoch: UInt64
    public let sequence: UInt64

    public init(id: UnsafeRawBufferPointer, epoch: UInt64, sequence: UInt64) {
        unsafe self.id = unsafe id
        self.epoch = epoch
        self.sequence = sequence
    }

    /// Throws where the value makes no sense. `id` lies in its bytes.
    public init(decoding value: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = unsafe ByteReader(value)
        epoch = try reader.read()
        sequence = try reader.read()
        unsafe id = unsafe try reader.readBytes(reader.remainingBytes)
        guard unsafe (1...Self.idBytesMax).contains(id.count), epoch <= Self.numberMax, sequence <= Self.numberMax
        else {
            throw .badField
        }
    }

    public func write(to fields: inout FieldWriter) {
        unsafe withUnsafeTemporaryAllocation(byteCount: 16 + id.count, alignment: 8) { value in
            unsafe value.storeBytes(of: epoch.littleEndian, as: UInt64.self)
            unsafe value.storeBytes(of: sequence.littleEndian, toByteOffset: 8, as: UInt64.self)
            unsafe UnsafeMutableRawBufferPointer(rebasing: value[16...]).copyMemory(from: id)
            unsafe fields.append(.producer, UnsafeRawBufferPointer(value))
        }
    }
}

/// The value of the field `group`: u64 id, u32 index, u32 count. The frames of a group lie in one batch, one behind the
/// other in the order of their indexes.
public struct GroupField: Equatable, Sendable {
    public let id: UInt64
    public let index: UInt32
    public let count: UInt32

    public init(id: UInt64, index: UInt32, count: UInt32) {
        self.id = id
        self.index = index
        self.count = count
    }

    /// Throws where the value makes no sense.
    public init(decoding value: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = unsafe ByteReader(value)
        id = try reader.read()
        index = try reader.read()
        count = try reader.read()
        guard reader.remainingBytes == 0, index < count else { throw .badField }
    }

    public func write(to fields: inout FieldWriter) {
        var writer = ByteWriter(reservingBytes: 16)
        writer.append(id)
        writer.append(index)
        writer.append(count)
        fields.append(.group, writer.bytes)
    }
}
