import CommitLog
import LogFormat
import Testing

@testable import LogStore

/// A store with two logs over some sealed segments whose indexes are all in place; the tickets of log a.
private func sealedStore() throws -> (disk: StoreOnDisk, tickets: [AppendTicket]) {
    let disk = try StoreOnDisk()
    var tickets: [AppendTicket] = []
    for number in 0..<150 {
        tickets.append(try disk.append("a", uniqueRecord("a", number, bytes: 20_000)))
        try disk.append("b", uniqueRecord("b", number, bytes: 30_000))
    }
    disk.settle {
        disk.store.unwrittenIndexes.isEmpty && disk.store.checkpoint == nil && !disk.store.checkpoints.isWanted
    }
    return (disk, tickets)
}

private func extents(_ disk: StoreOnDisk, _ log: String) throws -> [IndexExtent] {
    disk.store.table[try #require(disk.slot(log))].extents
}

@Test func anExtentSaysWhenItsFirstRecordWasWrittenAndHowManyBytesItsLogHas() throws {
    let (disk, tickets) = try sealedStore()
    let extents = try extents(disk, "a")
    try #require(extents.count > 2)
    for (extent, end) in zip(extents, extents.dropFirst().map(\.first)) {
        let count = UInt32(end.rawValue - extent.first.rawValue)
        #expect(extent.timestamp == tickets[Int(extent.first.rawValue)].timestamp)
        #expect(extent.payloadBytes == count * 20_000)
        let frame = FrameHeader.frameBytes(fieldsBytes: 0, recordCount: 1, payloadBytes: 20_000)
        #expect(extent.frameBytes == count * UInt32(frame))
    }
}

@Test func theEntriesOfASegmentAddUpToItsExtent() throws {
    let (disk, tickets) = try sealedStore()
    let id = disk.store.table[try #require(disk.slot("a"))].id
    for extent in try extents(disk, "a") {
        let path = disk.directory + "/wal/" + DataDirectory.indexName(extent.segment)
        let bytes = try #require(try PosixFileSystem().contents(path))
        let start = Int(extent.blockStart)
        let block = Array(bytes[start..<start + IndexFile.blockBytes(entryCount: Int(extent.entryCount))])
        let entries = try block.withUnsafeBytes { try IndexFile.entries(decoding: $0, log: id) }
        #expect(entries.reduce(0) { $0 + $1.payloadBytes } == extent.payloadBytes)
        #expect(entries.reduce(0) { $0 + $1.frameBytes } == extent.frameBytes)
        for entry in entries {
            #expect(entry.timestamp == tickets[Int(entry.offset.rawValue)].timestamp)
        }
    }
}

@Test(arguments: [false, true])
func extentsAreTheSameAfterAStartWithTheIndexFilesAndWithout(withoutFiles: Bool) throws {
    let (disk, _) = try sealedStore()
    let before = try (extents(disk, "a"), extents(disk, "b"))
    let paths = before.0.map { disk.directory + "/wal/" + DataDirectory.indexName($0.segment) }
    let files = PosixFileSystem()
    let contents = try paths.map { try files.contents($0) }
    if withoutFiles { for path in paths { try files.remove(path) } }
    try disk.reopen()
    #expect(try extents(disk, "a").starts(with: before.0))
    #expect(try extents(disk, "b").starts(with: before.1))
    disk.settle { disk.store.unwrittenIndexes.isEmpty }
    #expect(try paths.map { try files.contents($0) } == contents)
}
