import CommitLog
import LogFormat
import Testing

@testable import LogStore

/// What was appended, record for record, and what may have been removed.
private struct SizedLog {
    let name: String
    var sizes: [Int] = []
    var retention: Retention
    /// The first offset that anyone ever asked to keep.
    var allowed = 0

    func bytes(from offset: Int) -> Int { sizes[offset...].reduce(0, +) }

    /// What retention may remove of what is there now.
    mutating func allowRetention() {
        if let records = retention.records { allowed = max(allowed, sizes.count - Int(records)) }
        guard let bytes = retention.bytes else { return }
        var kept = 0
        var offset = sizes.count
        while offset > 0, kept < Int(bytes) {
            offset -= 1
            kept += sizes[offset]
        }
        allowed = max(allowed, offset)
    }

    /// What retention must have removed: all but what the limits hold and a part more.
    func requiredFirst(partBytesMax: Int) -> Int {
        var required = retention.records.map { max(0, sizes.count - Int($0)) } ?? 0
        guard let bytes = retention.bytes else { return required }
        while required < sizes.count, self.bytes(from: required) > Int(bytes) + partBytesMax { required += 1 }
        return required
    }
}

@Suite struct RetentionTests {
    private static let segmentBytes = 2 << 20

    private func sizes(_ random: inout SplitMix) -> [Int] {
        (0..<Int.random(in: 1...4, using: &random)).map { _ in
            switch Int.random(in: 0..<8, using: &random) {
            case 0: Int.random(in: 30_000...55_000, using: &random)
            case 1...2: Int.random(in: 2_000...9_000, using: &random)
            default: Int.random(in: 1...60, using: &random)
            }
        }
    }

    private func retention(_ random: inout SplitMix) -> Retention {
        var retention = Retention()
        if !Bool.random(using: &random) { retention.bytes = UInt64(Int.random(in: 1...900_000, using: &random)) }
        if retention.bytes == nil || Int.random(in: 0..<4, using: &random) == 0 {
            retention.records = UInt64(Int.random(in: 1...400, using: &random))
        }
        return retention
    }

    private func check(_ log: SizedLog, _ disk: StoreOnDisk, _ seed: UInt64) {
        let first = Int(disk.summary(log.name).first.rawValue)
        #expect(first <= log.allowed, "seed \(seed), \(log.name): records were removed that \(log.retention) keeps")
        #expect(
            first >= log.requiredFirst(partBytesMax: Self.segmentBytes),
            "seed \(seed), \(log.name): \(log.retention) is not heeded")
    }

    /// One look at all logs, and what comes of it.
    private func pass(_ disk: StoreOnDisk) {
        disk.store.retention.nextPass = 0
        disk.turn()
        disk.settle { disk.store.retention.nextSlot == nil && disk.store.wal.pendingBytes == 0 }
    }

    /// Uneven records, requests of several, limits that change, trims, turns of segments and starts: never does more go than
    /// the limits allow.
    @Test(arguments: UInt64(1)...6) func neverMoreGoesThanTheLimitsAllow(seed: UInt64) throws {
        var random = SplitMix(seed)
        let disk = try StoreOnDisk()
        var logs = ["a", "b", "c"].map { SizedLog(name: $0, retention: retention(&random)) }
        for log in logs { try disk.make(log.name, log.retention) }
        for _ in 0..<220 {
            let index = Int.random(in: 0..<logs.count, using: &random)
            switch Int.random(in: 0..<40, using: &random) {
            case 0: try disk.reopen(cleanly: Bool.random(using: &random))
            case 1:
                logs[index].retention = retention(&random)
                let settings = LogSettings(retention: logs[index].retention)
                guard case .staged(let ticket) = disk.store.configure(disk.slot(logs[index].name)!, settings) else {
                    continue
                }
                disk.settle { disk.store.wal.durable.number >= ticket.batch }
            case 2:
                let before = Int.random(in: 0...logs[index].sizes.count, using: &random)
                guard before > Int(disk.summary(logs[index].name).first.rawValue) else { continue }
                logs[index].allowed = max(logs[index].allowed, before)
                try disk.trim(logs[index].name, before: RecordOffset(rawValue: UInt64(before)))
            case 3...6:
                for index in logs.indices { logs[index].allowRetention() }
                pass(disk)
                for log in logs { check(log, disk, seed) }
            default:
                let sizes = sizes(&random)
                try disk.append(logs[index].name, sizes: sizes)
                logs[index].sizes += sizes
                // A turn of the loop may look as well.
                logs[index].allowRetention()
            }
        }
        #expect(logs.contains { $0.allowed > 0 } && disk.store.wal.active.position > .zero)
    }

    /// Six records of 40,050 bytes together, of which 50 are to be kept, are not six times 6,675 bytes.
    @Test func smallRecordsAreNotTakenForPartsOfALargeOne() throws {
        let disk = try StoreOnDisk()
        try disk.make("a", Retention(bytes: 50))
        for size in [40_000, 10, 10, 10, 10, 10] { try disk.append("a", sizes: [size]) }
        pass(disk)
        #expect(disk.summary("a").first == .zero)
    }

    /// The trim stands behind the change in the write-ahead log: who asked for more keeps more.
    @Test func aLimitThatIsBeingRaisedCountsAlready() throws {
        let disk = try StoreOnDisk()
        // No look of its own.
        disk.store.retention.nextPass = .max
        try disk.make("a", Retention(records: 4))
        for _ in 0..<6 { try disk.append("a", sizes: [10]) }
        let raised = LogSettings(retention: Retention(records: 5))
        guard case .staged(let ticket) = disk.store.configure(disk.slot("a")!, raised) else { throw NotStaged() }
        disk.store.retention.nextPass = 0
        disk.store.stageRetention()
        disk.settle { disk.store.wal.durable.number >= ticket.batch && disk.store.wal.pendingBytes == 0 }
        #expect(disk.summary("a").first.rawValue == 1)
    }

    /// What is left of a part while the rest of it is moved has at most the bytes that it says.
    @Test(arguments: UInt64(1)...40) func aPartThatIsBeingMovedNeverHasLessThanItSays(seed: UInt64) throws {
        var random = SplitMix(seed)
        var table = LogTable()
        let slot = Array("a".utf8).withUnsafeBytes {
            table.add(name: $0, id: LogID(rawValue: 1), created: .zero, isDurable: true)
        }
        let sizes = (0..<24).map { _ in Int.random(in: 0..<3, using: &random) == 0 ? 50_000 : 10 }
        table[slot].durableNext = RecordOffset(rawValue: UInt64(sizes.count))
        func extent(_ records: Range<Int>, segment: UInt64) -> IndexExtent {
            let bytes = UInt32(sizes[records].reduce(0, +))
            return IndexExtent(
                segment: Position(rawValue: segment << 20), first: RecordOffset(rawValue: UInt64(records.lowerBound)),
                end: RecordOffset(rawValue: UInt64(records.upperBound)),
                timestamp: Timestamp(rawValue: UInt64(records.lowerBound) + 1), payloadBytes: bytes, frameBytes: bytes)
        }
        for start in [0, 8, 16] { table.add(extent(start..<start + 8, segment: UInt64(start)), to: slot) }
        let first = Int.random(in: 0..<4, using: &random)
        _ = table.trim(slot, before: RecordOffset(rawValue: UInt64(first)))
        // In order, as packing does it, or not.
        let isInOrder = Bool.random(using: &random)
        let order = isInOrder ? Array(first..<24) : (first..<24).shuffled(using: &random)
        for record in order {
            table.addMoved(extent(record..<record + 1, segment: 40), to: slot)
            for extent in table[slot].extents {
                let whole = sizes[Int(extent.first.rawValue)..<Int(extent.end.rawValue)].reduce(0, +)
                #expect(Int(extent.payloadBytes) <= whole, "seed \(seed)")
                if isInOrder, first == 0 { #expect(Int(extent.payloadBytes) == whole, "seed \(seed)") }
            }
        }
        // All of it is known again.
        #expect(table[slot].extents.reduce(0) { $0 + Int($1.payloadBytes) } == sizes[first...].reduce(0, +))
    }
}

extension StoreOnDisk {
    /// Appends records of these sizes with one request.
    fileprivate func append(_ log: String, sizes: [Int]) throws {
        var body: [UInt8] = []
        for size in sizes {
            withUnsafeBytes(of: UInt32(size).littleEndian) { body += Array($0) }
            body += [UInt8](repeating: 7, count: size)
        }
        guard case .staged(let ticket) = try attempt(log, body, as: .framed) else { throw NotStaged() }
        settle { store.wal.durable.number >= ticket.batch }
    }
}

/// The same seed gives the same test again.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
