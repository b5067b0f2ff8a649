import CommitLog
import Glibc
import LogFormat
import Testing

@testable import LogStore

/// Flips a bit of a segment file, past the page cache's back.
private func flip(_ disk: StoreOnDisk, _ segment: Position, at offset: Int) {
    let descriptor = open("\(disk.directory)/wal/\(DataDirectory.segmentName(segment))", O_RDWR)
    defer { close(descriptor) }
    var byte: UInt8 = 0
    #expect(pread(descriptor, &byte, 1, off_t(offset)) == 1)
    byte ^= 0x10
    #expect(pwrite(descriptor, &byte, 1, off_t(offset)) == 1)
    #expect(fsync(descriptor) == 0)
}

@Test(.timeLimit(.minutes(10)))
func aDamagedBatchInTheActiveSegmentIsRefusedAndDoesNotHang() throws {
    let disk = try StoreOnDisk(segmentMiB: 64)
    // The second one's batch stands in the window of the first one, and has no entry of its own.
    try disk.append("a", [1])
    let place = disk.store.wal.nextPosition - disk.store.wal.active.position
    try disk.append("a", [2])
    // Out of memory, into the disk.
    for number in 0..<90 { try disk.append("b", uniqueRecord("b", number, bytes: 200_000)) }
    #expect(disk.store.wal.segments.count == 1)
    flip(disk, .zero, at: place)
    #expect(throws: DamagedRead.self) { try disk.read("a", from: 1) }
}

@Test(.timeLimit(.minutes(10)))
func aReadBeyondTheEndOfACutSegmentFailsAndDoesNotGoOnForEver() throws {
    let disk = try StoreOnDisk()
    let records = (0..<120).map { uniqueRecord("a", $0, bytes: 60_000) }
    for record in records { try disk.append("a", record) }
    disk.settle { disk.store.unwrittenIndexes.isEmpty && disk.store.checkpoint == nil }
    try disk.reopen(cleanly: true)
    #expect(truncate("\(disk.directory)/wal/\(DataDirectory.segmentName(.zero))", 1 << 20) == 0)
    #expect(throws: FileError.self) { try disk.read("a", from: 20) }
}
