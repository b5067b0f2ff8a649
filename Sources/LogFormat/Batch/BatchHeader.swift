/// The first 64 bytes of a batch.
///
///      0 magic "BTCH"      4 u32 CRC over 8..<byte count    8 u32 byte count   12 u32 frame count
///     16 u64 number       24 u64 durable through
///     32 store id         48 u32 epoch   52 u32 previous CRC   56 u64 position
public struct BatchHeader: Equatable, Sendable {
    /// Bytes that the header takes on disk.
    public static let byteCount = 64

    /// The first four bytes, "BTCH".
    public static let magic = UInt32(littleEndianBytes: "BTCH")

    /// Header and frames, without the zeros that fill the last block. A multiple of 8.
    public var byteCount: UInt32
    public var frameCount: UInt32
    public var number: BatchNumber
    /// The number of the last batch known to be durable when this one was sealed.
    public var durableThrough: BatchNumber
    public var storeID: StoreID
    public var epoch: Epoch
    /// The `crc` of the batch before this one; 0 for the first.
    public var previousCRC: UInt32
    /// The position of this header's first byte.
    public var position: Position
    /// The checksum over everything from the byte count on. Set by sealing or decoding.
    public internal(set) var crc: UInt32

    public init(
        byteCount: UInt32, frameCount: UInt32, number: BatchNumber, durableThrough: BatchNumber, storeID: StoreID,
        epoch: Epoch, previousCRC: UInt32, position: Position, crc: UInt32 = 0
    ) {
        self.byteCount = byteCount
        self.frameCount = frameCount
        self.number = number
        self.durableThrough = durableThrough
        self.storeID = storeID
        self.epoch = epoch
        self.previousCRC = previousCRC
        self.position = position
        self.crc = crc
    }

    /// Bytes that the batch takes in its segment, with the zeros that fill its last block.
    public func paddedBytes(blockBytes: Int) -> Int {
        roundUp(Int(byteCount), toMultipleOf: blockBytes)
    }

    /// Writes everything but the checksum, which covers what is written here.
    func encode(at start: UnsafeMutableRawPointer) {
        unsafe start.store(Self.magic, at: 0)
        unsafe start.store(byteCount, at: 8)
        unsafe start.store(frameCount, at: 12)
        unsafe start.store(number.rawValue, at: 16)
        unsafe start.store(durableThrough.rawValue, at: 24)
        unsafe start.store(storeID, at: 32)
        unsafe start.store(epoch.rawValue, at: 48)
        unsafe start.store(previousCRC, at: 52)
        unsafe start.store(position.rawValue, at: 56)
    }

    /// Reads a header whose magic and lengths make sense. The checksum is not looked at.
    init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.byteCount else {
            throw .truncated(needed: Self.byteCount, available: bytes.count)
        }
        guard unsafe bytes.integer(at: 0) == Self.magic else { throw .badMagic }
        unsafe self.init(
            byteCount: bytes.integer(at: 8), frameCount: bytes.integer(at: 12),
            number: BatchNumber(rawValue: bytes.integer(at: 16)),
            durableThrough: BatchNumber(rawValue: bytes.integer(at: 24)), storeID: bytes.storeID(at: 32),
            epoch: Epoch(rawValue: bytes.integer(at: 48)), previousCRC: bytes.integer(at: 52),
            position: Position(rawValue: bytes.integer(at: 56)), crc: bytes.integer(at: 4))
        guard hasSaneLengths else { throw .badLength }
    }

    /// A batch has at least one frame, room for its frames' headers, and ends below 2^63.
    var hasSaneLengths: Bool {
        let frameBytesMin = UInt64(frameCount) * UInt64(FrameHeader.byteCount)
        return frameCount > 0 && byteCount % 8 == 0 && UInt64(byteCount) >= UInt64(Self.byteCount) + frameBytesMin
            && position.rawValue <= UInt64(Int64.max) - UInt64(byteCount)
    }

    /// The checksum of a batch of which `bytes` holds at least `byteCount` bytes.
    static func checksum(of bytes: UnsafeRawBufferPointer, byteCount: Int) -> UInt32 {
        unsafe CRC32C.checksum(bytes.part(8..<byteCount))
    }
}
