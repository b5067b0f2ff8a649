import CommitLog
import Glibc
import LogFormat
import LogStore
import Testing

/// What a real store has written and acknowledged: its files, and every record with its time.
struct WrittenStore: Sendable {
    struct Record: Equatable, Sendable {
        let timestamp: Timestamp
        let bytes: [UInt8]

        /// As a comparison of arrays, which costs a call a byte without optimisation.
        static func == (one: Record, other: Record) -> Bool {
            one.timestamp == other.timestamp && one.bytes.count == other.bytes.count
                && one.bytes.withUnsafeBytes { ours in
                    other.bytes.withUnsafeBytes { memcmp(ours.baseAddress!, $0.baseAddress!, ours.count) == 0 }
                }
        }
    }

    /// The directory that the files are named in.
    static let path = "/store"
    let files: MemoryFileSystem.Files
    let acknowledged: [String: [Record]]
    /// Without the last batch: all that is sure to be there where it is not sealed.
    let beforeLastBatch: [String: [Record]]
    let isSealed: Bool

    var segments: [String] { files.keys.filter { $0.hasSuffix(".seg") }.sorted() }
    var checkpoints: [String] { files.keys.filter { $0.hasSuffix(".ckpt") }.sorted() }
    var indexes: [String] { files.keys.filter { $0.hasSuffix(".idx") }.sorted() }

    static let sealed = Result { try WrittenStore(isSealed: true) }
    static let unsealed = Result { try WrittenStore(isSealed: false) }

    /// Four logs over four segments, in batches of one and of several frames, with checkpoints and index files.
    init(isSealed: Bool) throws {
        let directory = OfflineLogTests.Directory()
        var wal = CommitLogConfiguration(directory: directory.path)
        wal.segmentBytes = 1 << 20
        wal.batchBytesMax = 256 << 10
        wal.allowsUnsafeFileSystem = true
        let driven = Driven(try LogStore.open(LogStoreConfiguration(wal: wal)))
        // Small ones first, so that the first blocks hold every kind of structure.
        for number in 0..<6 { try driven.append("orders", bytes: 20 + number) }
        try driven.append("quiet", bytes: 33)
        try driven.batch(["orders", "events", "orders", "metrics"], bytes: 40)
        var number = 0
        while driven.store.wal.segments.count < 4 {
            number += 1
            try driven.append(["orders", "events", "metrics"][number % 3], bytes: 9_000 + number * 311 % 9_000)
            if number % 20 == 0 { try driven.batch(["events", "orders", "events"], bytes: 3_000) }
        }
        for _ in 0..<3 { try driven.append("orders", bytes: 50) }
        try driven.rest(checkpoints: "\(directory.path)/checkpoint")
        try driven.append("late", bytes: 10)
        beforeLastBatch = driven.acknowledged
        try driven.batch(["events", "orders"], bytes: 60)
        if isSealed { #expect(driven.store.close(deadlineMicroseconds: .max)) }
        acknowledged = driven.acknowledged
        self.isSealed = isSealed
        var files: MemoryFileSystem.Files = ["\(Self.path)/LOCK": []]
        let system = PosixFileSystem()
        for folder in ["wal", "checkpoint"] {
            for name in try system.list("\(directory.path)/\(folder)") where !name.hasSuffix(".tmp") {
                files["\(Self.path)/\(folder)/\(name)"] = try system.contents("\(directory.path)/\(folder)/\(name)")
            }
        }
        self.files = files
        withExtendedLifetime(directory) {}
    }

    /// Where the batches of a segment lie, in bytes from its beginning.
    func batches(of segment: String) throws -> [(start: Int, header: BatchHeader)] {
        try files[segment]!.withUnsafeBytes { bytes throws in
            var found: [(start: Int, header: BatchHeader)] = []
            var offset = 4096
            while offset + BatchHeader.byteCount < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
                guard let header = try? BatchView.header(at: rest) else { break }
                let whole = try BatchView(checking: rest)
                #expect(whole.header == header)
                found.append((offset, header))
                offset += header.paddedBytes(blockBytes: 4096)
            }
            return found
        }
    }
}

/// A store that is driven turn by turn, and what it has acknowledged.
final class Driven {
    let store: LogStore
    private(set) var acknowledged: [String: [WrittenStore.Record]] = [:]
    private var number = 0

    init(_ store: LogStore) { self.store = store }

    func append(_ log: String, bytes: Int) throws { try batch([log], bytes: bytes) }

    /// Appends a record to each of the logs, all in one batch.
    func batch(_ logs: [String], bytes: Int) throws {
        var last = BatchNumber.zero
        for log in logs {
            number += 1
            var record = Array("\(log) \(number) ".utf8)
            while record.count < bytes { record.append(UInt8(truncatingIfNeeded: record.count &* 31 &+ number)) }
            let ticket = try stage(log, record)
            last = ticket.batch
            acknowledged[log, default: []].append(WrittenStore.Record(timestamp: ticket.timestamp, bytes: record))
        }
        while store.wal.durable.number < last { turn() }
    }

    private func stage(_ log: String, _ record: [UInt8]) throws -> AppendTicket {
        while true {
            let outcome = try record.withUnsafeBytes { bytes in
                let body = try RecordBody(bytes, encoding: .whole, recordBytesMax: 1 << 20, recordCountMax: 1 << 16)
                return Array(log.utf8).withUnsafeBytes { store.append(to: $0, body) }
            }
            switch outcome {
            case .staged(let ticket): return ticket
            case .busy: turn()
            default: throw CommitLogError.configuration("\(outcome)")
            }
        }
    }

    func turn() {
        _ = store.wal.turn()
        var events = LoopEvents()
        store.wal.wait(timeoutMicroseconds: 10_000, into: &events)
        if let batch = events.durable { store.publish(batch) }
        for read in events.reads { _ = store.readEnded(number: read.number, result: read.result) }
        for file in events.finishedFiles { #expect(store.finished(file) == nil) }
        store.tick()
    }

    /// Waits until the files that are made beside the appends are in place.
    func rest(checkpoints: String) throws {
        let files = PosixFileSystem()
        let walPath = checkpoints.dropLast("checkpoint".count) + "wal"
        while true {
            let segments = try files.list(String(walPath)).filter { $0.hasSuffix(".seg") }.count
            let indexes = try files.list(String(walPath)).filter { $0.hasSuffix(".idx") }.count
            let whole = try files.list(checkpoints).filter { $0.hasSuffix(".ckpt") }.count
            if segments == store.wal.segments.count + 1, indexes == store.wal.segments.count - 1, whole == 2 { return }
            turn()
        }
    }
}
