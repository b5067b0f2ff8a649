import LogFormat

/// Where a scan of the write-ahead log may begin: the first batch of a segment, and the chain before it.
public struct ScanAnchor: Equatable, Sendable {
    /// The position of the segment's first byte.
    public let segment: Position
    public let chain: ChainState
}

/// A summary of what the batches up to a place said, so that a start need not read them again.
///
/// On disk, little-endian: magic "ALOGCKP1", u32 version, u32 count of kept segments, store id, u64 segment of the anchor, u64 number,
/// u32 checksum and u32 epoch of the last batch before that segment, u64 number of the last batch covered, u64 bytes
/// of the payload, u64 position of each kept segment, the payload, u32 CRC32C over everything before it.
struct Checkpoint {
    private static let magic: [UInt8] = Array("ALOGCKP1".utf8)
    private static let version: UInt32 = 2
    static let headerBytes = 72

    let storeID: StoreID
    let anchor: ScanAnchor
    /// The last batch that was durable when the checkpoint was finished. The payload may already hold what the batches
    /// from the anchor up to here say; the owner replays them all the same, and must take it twice without harm.
    let through: BatchNumber
    /// The segments before the anchor's that a start from here needs, in order. The others before it are retired: what
    /// their batches said is in the payload, as far as it is still true.
    let kept: [Position]
    let payload: [UInt8]

    /// Whether a segment is before the anchor and not needed by a start from here.
    func hasRetired(_ segment: Position) -> Bool { segment < anchor.segment && !kept.contains(segment) }

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.append(bytes: Self.magic)
        writer.append(Self.version)
        writer.append(UInt32(kept.count))
        writer.append(storeID.first)
        writer.append(storeID.second)
        writer.append(anchor.segment.rawValue)
        writer.append(anchor.chain.number.rawValue)
        writer.append(anchor.chain.crc)
        writer.append(anchor.chain.epoch.rawValue)
        writer.append(through.rawValue)
        writer.append(UInt64(payload.count))
        for segment in kept { writer.append(segment.rawValue) }
        writer.append(bytes: payload)
        writer.append(writer.checksum())
        return writer.bytes
    }

    init(storeID: StoreID, anchor: ScanAnchor, through: BatchNumber, kept: [Position] = [], payload: [UInt8]) {
        self.storeID = storeID
        self.anchor = anchor
        self.through = through
        self.kept = kept
        self.payload = payload
    }

    /// As the other one, from the bytes of a file.
    init(contents: [UInt8]) throws(FormatError) {
        let result: Result<Checkpoint, FormatError> = unsafe contents.withUnsafeBytes { buffer in
            do throws(FormatError) { return .success(unsafe try Checkpoint(decoding: buffer)) } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }

    /// Throws a `FormatError` for anything but a whole checkpoint of this version.
    init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.headerBytes + 4 else {
            throw .truncated(needed: Self.headerBytes + 4, available: bytes.count)
        }
        guard unsafe bytes.prefix(Self.magic.count).elementsEqual(Self.magic) else { throw .badMagic }
        let covered = bytes.count - 4
        var reader = unsafe ByteReader(bytes)
        unsafe _ = try reader.readBytes(Self.magic.count)
        let version = try reader.read(UInt32.self)
        // Before the version: a flipped bit must not pass for a newer one. The checksum keeps its place in every version.
        guard
            unsafe CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<covered]))
                == bytes.loadUnaligned(fromByteOffset: covered, as: UInt32.self)
        else { throw .checksumMismatch }
        guard version == Self.version else { throw .unsupportedVersion(version) }
        let keptCount = Int(try reader.read(UInt32.self))
        storeID = StoreID(first: try reader.read(), second: try reader.read())
        let segment = Position(rawValue: try reader.read(UInt64.self))
        let number = BatchNumber(rawValue: try reader.read(UInt64.self))
        let crc = try reader.read(UInt32.self)
        let epoch = Epoch(rawValue: try reader.read(UInt32.self))
        anchor = ScanAnchor(segment: segment, chain: ChainState(number: number, crc: crc, epoch: epoch))
        through = BatchNumber(rawValue: try reader.read(UInt64.self))
        let payloadBytes = try reader.read(UInt64.self)
        let payloadStart = Self.headerBytes + 8 * keptCount
        guard payloadStart <= covered, payloadBytes == UInt64(covered - payloadStart) else { throw .badLength }
        var kept: [Position] = []
        for _ in 0..<keptCount {
            let position = Position(rawValue: try reader.read(UInt64.self))
            guard position < segment, kept.last.map({ $0 < position }) ?? true else { throw .badField }
            kept.append(position)
        }
        self.kept = kept
        payload = unsafe Array(bytes[payloadStart..<covered])
    }
}
