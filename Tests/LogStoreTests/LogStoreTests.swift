import CommitLog
import Glibc
import LogFormat
import Testing

@testable import LogStore

@Test func recordsComeBackInOrderAndUnaltered() throws {
    let disk = try StoreOnDisk()
    let records = (0..<100).map { uniqueRecord("a", $0, bytes: $0 * 40) }
    for (index, record) in records.enumerated() {
        let ticket = try disk.append("a", record)
        #expect(ticket.first.rawValue == UInt64(index))
        #expect(ticket.count == 1)
    }
    #expect(try disk.read("a") == records)
    #expect(try disk.read("a", from: 40, limit: 7) == Array(records[40..<47]))
    #expect(try disk.read("a", from: 100).isEmpty)
}

@Test func nothingIsShownBeforeItIsDurable() throws {
    let disk = try StoreOnDisk()
    let ticket = try disk.stage("a", [1, 2, 3])
    #expect(disk.slot("a") == nil)
    #expect(disk.store.totals == (0, 0, 0))
    #expect(disk.store.list(prefix: [], after: nil, limit: 10).logs.isEmpty)
    // Handed to the disk, and still not shown.
    _ = disk.store.wal.turn()
    #expect(disk.slot("a") == nil)
    disk.settle { disk.store.wal.durable.number >= ticket.batch }
    #expect(disk.store.totals == (1, 1, 3))
    #expect(try disk.read("a") == [[1, 2, 3]])

    // A second record: the first stays the tail until the second is durable.
    let second = try disk.stage("a", [4])
    #expect(try disk.read("a") == [[1, 2, 3]])
    #expect(disk.store.summary(disk.slot("a")!).next.rawValue == 1)
    #expect(second.first.rawValue == 1)
}

@Test func everythingAcknowledgedIsThereAfterAKill() throws {
    let disk = try StoreOnDisk()
    var records: [String: [[UInt8]]] = [:]
    for number in 0..<300 {
        let log = "log-\(number % 7)"
        let record = uniqueRecord(log, number, bytes: number % 11 * 300)
        try disk.append(log, record)
        records[log, default: []].append(record)
    }
    try disk.reopen()
    for (log, expected) in records { #expect(try disk.read(log) == expected) }
    // Offsets go on where they were.
    #expect(try disk.append("log-0", [1]).first.rawValue == UInt64(records["log-0"]!.count))
}

@Test(arguments: [true, false])
func historiesOverManySegmentsSurviveRestarts(cleanly: Bool) throws {
    let disk = try StoreOnDisk()
    var records: [String: [[UInt8]]] = [:]
    for number in 0..<260 {
        // "rare" stands in few segments, "common" in all.
        let log = number % 100 == 3 ? "rare" : "common"
        let record = uniqueRecord(log, number, bytes: 60_000)
        try disk.append(log, record)
        records[log, default: []].append(record)
    }
    #expect(disk.store.wal.segments.count > 4)
    for (log, expected) in records { #expect(try disk.read(log) == expected) }
    disk.settle { disk.store.unwrittenIndexes.isEmpty && disk.store.checkpoint == nil }
    // Through the index files.
    for (log, expected) in records { #expect(try disk.read(log) == expected) }
    for _ in 0..<2 {
        try disk.reopen(cleanly: cleanly)
        for (log, expected) in records {
            #expect(try disk.read(log) == expected)
            #expect(try disk.read(log, from: UInt64(expected.count / 2)) == Array(expected[(expected.count / 2)...]))
        }
    }
}

@Test func aStartAfterACheckpointReplaysOnlyTheLastSegments() throws {
    let disk = try StoreOnDisk()
    for number in 0..<260 { try disk.append("a", uniqueRecord("a", number, bytes: 60_000)) }
    disk.settle {
        (try? PosixFileSystem().list(disk.directory + "/checkpoint"))?.contains { $0.hasSuffix(".ckpt") } ?? false
    }
    try disk.reopen(cleanly: true)
    let recovery = disk.store.wal.recovery
    #expect(recovery.checkpoint != nil)
    #expect(recovery.batchesReplayed < 150)
    #expect(disk.store.totals.records == 260)
    #expect(try disk.read("a").count == 260)
}

@Test(arguments: ["missing", "truncated", "flipped", "foreign"])
func aLostIndexFileIsMadeAnew(fault: String) throws {
    let disk = try StoreOnDisk()
    let records = (0..<120).map { uniqueRecord("a", $0, bytes: 60_000) }
    for record in records { try disk.append("a", record) }
    disk.settle { disk.store.unwrittenIndexes.isEmpty && disk.store.checkpoint == nil }
    let path = disk.directory + "/wal/" + DataDirectory.indexName(.zero)
    let files = PosixFileSystem()
    var bytes = try #require(try files.contents(path))
    try disk.reopen(cleanly: true)
    switch fault {
    case "missing": try files.remove(path)
    case "truncated": bytes.removeLast()
    case "flipped": bytes[IndexFile.headerBytes] ^= 1
    default: bytes[20] ^= 1
    }
    if fault != "missing" {
        try files.remove(path)
        try files.replace(disk.directory + "/wal", DataDirectory.indexName(.zero), with: bytes)
    }
    try disk.reopen()
    #expect(try disk.read("a") == records)
    // It may be gone again while the store runs.
    disk.settle { disk.store.unwrittenIndexes.isEmpty }
    try files.remove(path)
    #expect(try disk.read("a") == records)
    try disk.reopen()
    // The maintenance thread puts it back.
    disk.settle { (try? files.contents(path)) != nil }
}

@Test func aDamagedBlockOfAnIndexFileOnlyCostsAScan() throws {
    let disk = try StoreOnDisk()
    let records = (0..<120).map { uniqueRecord("a", $0, bytes: 60_000) }
    for record in records { try disk.append("a", record) }
    disk.settle { disk.store.unwrittenIndexes.isEmpty && disk.store.checkpoint == nil }
    let files = PosixFileSystem()
    var bytes = try #require(try files.contents(disk.directory + "/wal/" + DataDirectory.indexName(.zero)))
    bytes[bytes.count - 3] ^= 0x40
    try files.replace(disk.directory + "/wal", DataDirectory.indexName(.zero), with: bytes)
    try disk.reopen()
    #expect(try disk.read("a") == records)
}

@Test func aDamagedRecordIsRefusedAndNeverShown() throws {
    let disk = try StoreOnDisk()
    let records = (0..<120).map { uniqueRecord("a", $0, bytes: 60_000) }
    for record in records { try disk.append("a", record) }
    disk.settle { disk.store.unwrittenIndexes.isEmpty && disk.store.checkpoint == nil }
    try disk.reopen(cleanly: true)
    // A byte in the payload of an early record, in a sealed segment that is not scanned at the start.
    let path = disk.directory + "/wal/" + DataDirectory.segmentName(.zero)
    let descriptor = open(path, O_RDWR)
    var byte: UInt8 = 0
    #expect(pread(descriptor, &byte, 1, 300_000) == 1)
    byte ^= 0x10
    #expect(pwrite(descriptor, &byte, 1, 300_000) == 1)
    close(descriptor)
    #expect(throws: DamagedRead.self) { try disk.read("a") }
    // What is before and behind it is still readable.
    #expect(try disk.read("a", limit: 2) == Array(records[..<2]))
    #expect(try disk.read("a", from: 60) == Array(records[60...]))
}

@Test func manyLogsShareOneBatch() throws {
    let disk = try StoreOnDisk()
    let before = disk.store.wal.counters.batches
    var last: AppendTicket?
    for number in 0..<500 { last = try disk.stage("log-\(number)", uniqueRecord("l", number)) }
    let ticket = try #require(last)
    disk.settle { disk.store.wal.durable.number >= ticket.batch }
    #expect(disk.store.wal.counters.batches - before <= 2)
    for number in 0..<500 { #expect(try disk.read("log-\(number)") == [uniqueRecord("l", number)]) }
    try disk.reopen()
    #expect(disk.store.totals.logs == 500)
}

@Test func anAppendToAMissingLogIsRefusedWhereLogsAreNotMade() throws {
    let disk = try StoreOnDisk()
    try disk.append("there", [1])
    try disk.reopen(autoCreate: false)
    #expect(try disk.attempt("missing", [1]) == .refused(AppendRefusal(cause: .logNotFound, after: .zero)))
    #expect(try disk.append("there", [2]).first.rawValue == 1)
}

@Test func appendsBeyondThePendingLimitAreRefused() throws {
    let directory = try StoreOnDisk.makeDirectory()
    var configuration = StoreOnDisk.configuration(directory, 2)
    configuration.pendingBytesMax = 4096
    let store = try LogStore.open(configuration)
    let name = Array("a".utf8)
    let body = [UInt8](repeating: 7, count: 1000)
    let outcomes = try (0..<6).map { _ in
        try body.withUnsafeBytes { bytes in
            let records = try RecordBody(bytes, encoding: .whole, recordBytesMax: 1 << 20, recordCountMax: 10)
            return name.withUnsafeBytes { store.append(to: $0, records) }
        }
    }
    #expect(outcomes.last == .pendingLimit)
    #expect(store.wal.pendingBytes <= 4096)
}

/// A time of day that is set back before each look.
private final class BackwardClock: LogClock {
    private let system = SystemClock()
    private var time: UInt64

    init(from time: UInt64) { self.time = time }

    var monotonicMicroseconds: Int64 { system.monotonicMicroseconds }
    var now: Timestamp {
        time -= 1000
        return Timestamp(rawValue: time)
    }
}

@Test func timestampsAdvanceWhereTheTimeOfDayGoesBackAlsoAcrossARestart() throws {
    let disk = try StoreOnDisk(clock: BackwardClock(from: 1_800_000_000_000_000))
    var last = Timestamp.zero
    for _ in 0..<50 {
        let ticket = try disk.append("a", [1])
        #expect(ticket.timestamp > last)
        last = ticket.timestamp
    }
    try disk.reopen(clock: BackwardClock(from: 1_700_000_000_000_000))
    #expect(try disk.append("a", [1]).timestamp > last)
}

@Test(arguments: [EngineChoice.ioURing, .syscalls], [ModeChoice.direct, .buffered])
func everyEngineAndModeKeepsTheSameHistory(engine: EngineChoice, mode: ModeChoice) throws {
    let disk: StoreOnDisk
    do { disk = try StoreOnDisk(engine: engine, mode: mode) } catch let error as CommitLogError {
        print("skipped \(engine.rawValue) \(mode.rawValue): \(error)")
        return
    }
    let records = (0..<80).map { uniqueRecord("a", $0, bytes: 60_000) }
    for record in records { try disk.append("a", record) }
    #expect(try disk.read("a") == records)
    try disk.reopen()
    #expect(try disk.read("a") == records)
}
