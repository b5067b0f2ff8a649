import CommitLog
import Glibc
import LogFormat

/// One file: what the page cache shows of it, and what the disk has.
///
/// - `used` bounds both images: behind it lie only zeros, for which no memory is taken.
/// - Outside `dirty` and `lost` the two images are equal.
final class SimulatedFile {
    static let sectorBytes = 512

    private(set) var byteCount = 0
    private var durableByteCount = 0
    private var cached = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var durable = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var used = 0
    /// Bytes that were written and not synced, in whole sectors.
    private var dirty: [Range<Int>] = []
    /// Bytes whose sync failed: the cache shows them as clean and the disk does not have them.
    private var lost: [Range<Int>] = []

    deinit {
        cached.deallocate()
        durable.deallocate()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        let count = max(0, min(buffer.count, byteCount - offset))
        let known = max(0, min(count, used - offset))
        if known > 0 { memcpy(buffer.baseAddress!, cached.baseAddress! + offset, known) }
        if count > known { memset(buffer.baseAddress! + known, 0, count - known) }
        return count
    }

    func isZero(from offset: Int) -> Bool {
        guard offset < used else { return true }
        return cached[offset] == 0
            && memcmp(cached.baseAddress! + offset, cached.baseAddress! + offset + 1, used - offset - 1) == 0
    }

    /// Writes into the cache.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        byteCount = max(byteCount, offset + bytes.count)
        guard let range = reach(bytes, offset) else { return }
        memcpy(cached.baseAddress! + offset, bytes.baseAddress!, bytes.count)
        dirty.append(range)
    }

    /// Writes past the cache to the disk, into bytes that are there.
    func writeThrough(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        precondition(offset + bytes.count <= durableByteCount, "a commit write changes a file's size")
        guard reach(bytes, offset) != nil else { return }
        memcpy(cached.baseAddress! + offset, bytes.baseAddress!, bytes.count)
        memcpy(durable.baseAddress! + offset, bytes.baseAddress!, bytes.count)
    }

    /// Writes some sectors of it past the cache to the disk, a few of them in part.
    func writeTorn(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ survival: inout Survival) {
        var place = 0
        while place < bytes.count {
            let end = min(
                bytes.count, (offset + place) / Self.sectorBytes * Self.sectorBytes + Self.sectorBytes - offset)
            let count = survival.bytes(of: end - place)
            if count > 0 {
                writeThrough(UnsafeRawBufferPointer(rebasing: bytes[place..<place + count]), at: offset + place)
            }
            place = end
        }
    }

    func synchronize() {
        for range in dirty { flush(range) }
        dirty = []
        durableByteCount = byteCount
    }

    /// A sync that fails: some sectors reach the disk, the others never will, and the cache does not tell.
    func failToSynchronize(_ survival: inout Survival) {
        for range in dirty { forEachSector(range) { if survival.next() { flush($0) } else { lost.append($0) } } }
        dirty = []
        if survival.next() { durableByteCount = byteCount }
    }

    /// What the kernel may do at any time.
    func writeBackSome(_ survival: inout Survival) {
        for range in dirty {
            forEachSector(range) { flush($0.lowerBound..<$0.lowerBound + survival.bytes(of: $0.count)) }
        }
    }

    /// Clean pages go; dirty ones stay.
    func dropCache() {
        guard dirty.isEmpty else { return }
        for range in lost { revert(range) }
        lost = []
    }

    /// The power goes: of what was not synced any sectors survive.
    func crash(_ survival: inout Survival) {
        writeBackSome(&survival)
        for range in dirty + lost { revert(range) }
        dirty = []
        lost = []
        guard durableByteCount != byteCount else { return }
        if survival.next() { durableByteCount = byteCount }
        byteCount = durableByteCount
        guard used > byteCount else { return }
        memset(cached.baseAddress! + byteCount, 0, used - byteCount)
        memset(durable.baseAddress! + byteCount, 0, used - byteCount)
    }

    // MARK: Damage

    /// A file of its own with the same bytes, all of them durable.
    func copy() -> SimulatedFile {
        let copy = SimulatedFile()
        if used > 0 { copy.write(UnsafeRawBufferPointer(rebasing: cached[..<min(used, byteCount)]), at: 0) }
        copy.byteCount = byteCount
        copy.synchronize()
        return copy
    }

    /// Bytes from the first on, behind which there are only zeros.
    var usedBytes: Int { min(used, byteCount) }

    /// The disk changes these bytes by itself.
    func rot(_ range: Range<Int>, _ change: (UInt8) -> UInt8) {
        for place in range where place < cached.count {
            cached[place] = change(cached[place])
            durable[place] = cached[place]
        }
    }

    func truncate(to count: Int) {
        byteCount = min(byteCount, count)
        durableByteCount = byteCount
        used = min(used, roundedUp(byteCount, to: Self.sectorBytes))
        if used > byteCount { rot(byteCount..<used) { _ in 0 } }
    }

    func checksum() -> UInt32 { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: cached[..<used])) }

    /// Makes room for these bytes; nil if they change nothing: zeros where there are only zeros.
    private func reach(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Range<Int>? {
        guard bytes.count > 0 else { return nil }
        if offset >= used && bytes[0] == 0 && memcmp(bytes.baseAddress!, bytes.baseAddress! + 1, bytes.count - 1) == 0 {
            return nil
        }
        let sector = Self.sectorBytes
        let range = offset / sector * sector..<(offset + bytes.count + sector - 1) / sector * sector
        grow(range.upperBound)
        used = max(used, range.upperBound)
        return range
    }

    private func grow(_ bytes: Int) {
        guard bytes > cached.count else { return }
        let capacity = max(bytes, 2 * cached.count)
        for image in [\SimulatedFile.cached, \.durable] {
            let old = self[keyPath: image]
            let new = UnsafeMutableRawBufferPointer(start: calloc(1, capacity)!, count: capacity)
            if old.count > 0 { memcpy(new.baseAddress!, old.baseAddress!, old.count) }
            free(old.baseAddress)
            self[keyPath: image] = new
        }
    }

    private func flush(_ range: Range<Int>) {
        memcpy(durable.baseAddress! + range.lowerBound, cached.baseAddress! + range.lowerBound, range.count)
    }

    private func revert(_ range: Range<Int>) {
        memcpy(cached.baseAddress! + range.lowerBound, durable.baseAddress! + range.lowerBound, range.count)
    }

    private func forEachSector(_ range: Range<Int>, _ body: (Range<Int>) -> Void) {
        var place = range.lowerBound
        while place < range.upperBound {
            body(place..<place + Self.sectorBytes)
            place += Self.sectorBytes
        }
    }
}

/// Which un-synced sectors and names outlive a crash: drawn anew for each crash, from none to all.
struct Survival {
    private var seed: Seed
    private let percent: Int

    init(_ seed: inout Seed) {
        self.seed = seed.branch()
        percent = seed.pick([0, 10, 50, 90, 97, 100])
    }

    mutating func next() -> Bool { seed.below(100) < percent }

    /// How many bytes of a sector survive: all or none, and now and then a part, as nobody promises that it is atomic.
    mutating func bytes(of count: Int) -> Int {
        if percent > 0 && percent < 100 && seed.once(in: 40) { return seed.below(count) }
        return next() ? count : 0
    }
}
