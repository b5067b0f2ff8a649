import Glibc
import LogFormat

/// Follows the chain of batches from a known place to the end of what is readable.
///
/// A batch is the next one if and only if it stands at the next block, or in the first block behind the header of the
/// next segment; names this store and its own position; has the number after the last one; its checksum is right; and
/// it carries the checksum of the last one and an epoch not before it.
struct ChainWalk {
    private let catalog: SegmentCatalog
    private let fileSystem: any FileSystem
    private let storeID: StoreID
    private(set) var chain: ChainState
    /// The file of the last batch, or of the start.
    private(set) var fileIndex: Int
    /// The file offset behind the last batch.
    private(set) var fileOffset: Int
    /// A batch with the right number stands where the chain ended, and does not follow the last one.
    private(set) var isChainBroken = false
    private var window: SegmentWindow

    /// Starts at the first batch of a segment, with the chain before it.
    init(
        _ catalog: SegmentCatalog, _ fileSystem: any FileSystem, fileIndex: Int, chain: ChainState
    ) throws(CommitLogError) {
        self.catalog = catalog
        self.fileSystem = fileSystem
        self.fileIndex = fileIndex
        self.chain = chain
        storeID = catalog.files[fileIndex].header.storeID
        window = try SegmentWindow(catalog.files[fileIndex], fileSystem)
        fileOffset = window.blockBytes
    }

    /// The position behind the last batch.
    var end: Position { catalog.files[fileIndex].header.position + fileOffset }

    /// The next batch with its position, or nil where the chain ends; `isChainBroken` then says how. The batch's bytes
    /// are valid until the next call.
    mutating func next() throws(CommitLogError) -> (batch: BatchView, position: Position)? {
        if let batch = try follower(in: window, at: fileOffset) { return accept(batch) }
        guard !isChainBroken, fileIndex + 1 < catalog.files.count else { return nil }
        let following = try SegmentWindow(catalog.files[fileIndex + 1], fileSystem)
        guard let batch = try follower(in: following, at: following.blockBytes) else { return nil }
        fileIndex += 1
        fileOffset = following.blockBytes
        window = following
        return accept(batch)
    }

    private mutating func accept(_ batch: BatchView) -> (batch: BatchView, position: Position) {
        let position = end
        chain = ChainState(after: batch.header)
        fileOffset += roundedUp(Int(batch.header.byteCount), to: window.blockBytes)
        return (batch, position)
    }

    private mutating func follower(in window: SegmentWindow, at offset: Int) throws(CommitLogError) -> BatchView? {
        guard let batch = try readBatch(window, at: offset) else { return nil }
        guard batch.header.number == chain.nextNumber else { return nil }
        guard batch.header.previousCRC == chain.crc && batch.header.epoch >= chain.epoch else {
            isChainBroken = true
            return nil
        }
        return batch
    }

    /// A batch of this store in its own place with a right checksum, or nil.
    private func readBatch(_ window: SegmentWindow, at offset: Int) throws(CommitLogError) -> BatchView? {
        guard let head = unsafe try window.bytes(at: offset, count: BatchHeader.byteCount) else { return nil }
        let position = window.file.header.position + offset
        guard
            let header = try judged(at: position, { () throws(FormatError) in unsafe try BatchView.header(at: head) }),
            header.storeID == storeID, header.position == position,
            let bytes = unsafe try window.bytes(at: offset, count: Int(header.byteCount))
        else { return nil }
        return try judged(at: position) { () throws(FormatError) in unsafe try BatchView(checking: bytes) }
    }

    /// What a torn write or free space looks like is nil; what no torn write can look like is an error.
    private func judged<Value>(
        at position: Position, _ decode: () throws(FormatError) -> Value
    ) throws(CommitLogError) -> Value? {
        do throws(FormatError) { return try decode() } catch {
            let file = catalog.index(containing: position).map { "wal/\(catalog.files[$0].name)" } ?? "wal"
            if error.needsNewerVersion { throw .unsupported(file: file, what: error.description) }
            switch error {
            case .badFrameCount, .damagedFrame:
                throw .damaged(Damage(file: file, position: position, cause: error.description))
            default: return nil
            }
        }
    }

    /// Decides what the end of the chain means, once `next` has given nil: the ranges of a torn batch that a start cuts (file
    /// index and file offsets, in whole blocks), none for a whole end. Throws `damaged` where something acknowledged is gone.
    /// `durableThrough` is the last batch that a checkpoint says was durable.
    func judgedTail(
        durableThrough: BatchNumber
    ) throws(CommitLogError) -> [(fileIndex: Int, range: Range<Int>)] {
        let behind = try bytesBehind()
        let witness = behind.isEmpty ? nil : try laterWitness()
        let evidence = TailEvidence(
            isChainBroken: isChainBroken, hasLaterWitness: witness != nil,
            isCoveredByCheckpoint: durableThrough > chain.number, hasBytesBehind: !behind.isEmpty)
        guard case .damage(let cause) = TailDecision(evidence) else { return behind }
        // The batch may stand in the next segment, where the one before it left no room; not where its witness stands.
        let place = behind.first.map { (file: catalog.files[$0.fileIndex], offset: $0.range.lowerBound) }
            .flatMap { $0.file.header.position + $0.offset == witness ? nil : $0 }
        let (file, offset) = place ?? (catalog.files[fileIndex], fileOffset)
        let proof = witness.map { " (the later batch is at position \($0.rawValue))" } ?? ""
        throw .damaged(
            Damage(file: "wal/\(file.name)", position: file.header.position + offset, cause: cause + proof))
    }

    /// Looks behind the tail for a batch that proves that the missing one was durable; returns its position.
    private func laterWitness() throws(CommitLogError) -> Position? {
        for index in fileIndex..<catalog.files.count {
            let window = try SegmentWindow(catalog.files[index], fileSystem)
            var offset = index == fileIndex ? fileOffset : window.blockBytes
            while offset < window.byteCount {
                if let header = try readBatch(window, at: offset)?.header,
                    header.number > chain.number, header.durableThrough >= chain.nextNumber
                {
                    return window.file.header.position + offset
                }
                offset += window.blockBytes
            }
        }
        return nil
    }

    /// The ranges behind the tail that hold something else than zeros: file index and file offsets, in whole blocks.
    private func bytesBehind() throws(CommitLogError) -> [(fileIndex: Int, range: Range<Int>)] {
        var found: [(fileIndex: Int, range: Range<Int>)] = []
        for index in fileIndex..<catalog.files.count {
            let window = try SegmentWindow(catalog.files[index], fileSystem)
            let first = index == fileIndex ? fileOffset : window.blockBytes
            var last: Int?
            var offset = first
            while let block = unsafe try window.bytes(at: offset, count: window.blockBytes) {
                if unsafe !isZero(block) { last = offset + window.blockBytes }
                offset += window.blockBytes
            }
            if let last { found.append((index, first..<last)) }
        }
        return found
    }
}

/// True if every byte is zero: the first is, and each equals the one before it.
func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    unsafe bytes[0] == 0 && memcmp(bytes.baseAddress!, bytes.baseAddress! + 1, bytes.count - 1) == 0
}
