import CommitLog
import Glibc
import LogFormat
import Testing

@testable import LogStore

/// A real store in a directory of its own on the disk that the package is built on.
final class StoreOnDisk {
    let directory: String
    private(set) var store: LogStore

    /// Small segments and batches, so that a test turns many of them.
    init(
        segmentMiB: Int = 2, engine: EngineChoice = .auto, mode: ModeChoice = .auto,
        clock: any LogClock = SystemClock(), identities: IdentityLimits = IdentityLimits()
    ) throws {
        directory = try Self.makeDirectory()
        var configuration = Self.configuration(directory, segmentMiB, engine, mode)
        configuration.identities = identities
        store = try Self.open(configuration, clock)
        self.identities = identities
        self.segmentMiB = segmentMiB
        self.engine = engine
        self.mode = mode
    }

    private let segmentMiB: Int
    private let engine: EngineChoice
    private let mode: ModeChoice
    /// Those of the next start.
    var identities: IdentityLimits

    static func configuration(
        _ directory: String, _ segmentMiB: Int, _ engine: EngineChoice = .auto, _ mode: ModeChoice = .auto
    ) -> LogStoreConfiguration {
        var wal = CommitLogConfiguration(directory: directory)
        wal.segmentBytes = segmentMiB << 20
        wal.batchBytesMax = 256 << 10
        wal.engine = engine
        wal.mode = mode
        wal.allowsUnsafeFileSystem = true
        return LogStoreConfiguration(wal: wal)
    }

    static func makeDirectory() throws -> String {
        let root = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
        let parent = "/\(root)/.build/test-data"
        mkdir(parent, 0o755)
        var template = Array("\(parent)/store-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        return String(cString: made)
    }

    deinit {
        let command = "rm -rf '\(directory)'"
        _ = system(command)
    }

    /// Ends the store as a killed process would, or after a clean stop, and opens it again.
    func reopen(cleanly: Bool = false, autoCreate: Bool = true, clock: any LogClock = SystemClock()) throws {
        if cleanly { #expect(store.close(deadlineMicroseconds: .max)) }
        let unopened = try LogStore.open(Self.configuration(try Self.makeDirectory(), segmentMiB))
        // Lets go of the first store, and so of its lock, before the directory is opened again.
        store = unopened
        var configuration = Self.configuration(directory, segmentMiB, engine, mode)
        configuration.autoCreate = autoCreate
        configuration.identities = identities
        store = try Self.open(configuration, clock)
    }

    /// A child that another test has just forked holds a copy of the lock until it runs its program: tried again then.
    private static func open(_ configuration: LogStoreConfiguration, _ clock: any LogClock) throws -> LogStore {
        for _ in 0..<5000 {
            do { return try LogStore.open(configuration, clock: clock) } catch CommitLogError.inUse { usleep(1000) }
        }
        return try LogStore.open(configuration, clock: clock)
    }

    /// One turn of the loop: takes in what happened and publishes it.
    func turn() {
        _ = store.wal.turn()
        var events = LoopEvents()
        store.wal.wait(timeoutMicroseconds: 10_000, into: &events)
        if let batch = events.durable { store.publish(batch) }
        for read in events.reads { _ = store.readEnded(number: read.number, result: read.result) }
        for file in events.finishedFiles { #expect(store.finished(file) == nil) }
        store.tick()
    }

    func settle(until condition: () -> Bool) {
        while !condition() { turn() }
    }

    /// Stages one record after the other without waiting for any to be durable.
    func stage(_ log: String, _ record: [UInt8]) throws -> AppendTicket {
        while true {
            switch try attempt(log, record) {
            case .staged(let ticket): return ticket
            case .busy: turn()
            case let refusal: throw Refused(outcome: refusal)
            }
        }
    }

    func attempt(_ log: String, _ body: [UInt8], as encoding: RecordBody.Encoding = .whole) throws -> StoreAppend {
        try body.withUnsafeBytes { bytes in
            let records = try RecordBody(
                bytes, encoding: encoding, recordBytesMax: 1 << 20, recordCountMax: 1 << 16)
            var name = Array(log.utf8)
            return name.withUnsafeMutableBytes { store.append(to: UnsafeRawBufferPointer($0), records) }
        }
    }

    /// Appends and waits until it is durable.
    @discardableResult
    func append(_ log: String, _ record: [UInt8]) throws -> AppendTicket {
        let ticket = try stage(log, record)
        settle { store.wal.durable.number >= ticket.batch }
        return ticket
    }

    func slot(_ log: String) -> LogSlot? {
        Array(log.utf8).withUnsafeBytes { store.slot(named: $0) }
    }

    /// All records from an offset on, as far as the sink's limit goes.
    func read(_ log: String, from: UInt64 = 0, limit: Int = .max) throws -> [[UInt8]] {
        let slot = try #require(self.slot(log))
        let sink = CollectingSink(limit: limit)
        let read = store.beginRead(slot, from: RecordOffset(rawValue: from))
        while true {
            switch store.step(read, into: sink) {
            case .finished:
                #expect(sink.offsets == (0..<sink.records.count).map { from + UInt64($0) })
                return sink.records
            case .waiting: settle { read.fetch == .none }
            case .paused: continue
            case .gone: throw DeletedLog()
            case .trimmed(let first): throw TrimmedRead(first: first)
            case .damaged(let position): throw DamagedRead(position: position)
            case .lost(let next): throw LostRead(next: next)
            case .failed(let error): throw error
            }
        }
    }
}

struct DeletedLog: Error {}

struct Refused: Error { let outcome: StoreAppend }
struct DamagedRead: Error, Equatable { let position: Position }
struct LostRead: Error, Equatable { let next: RecordOffset }
struct TrimmedRead: Error, Equatable { let first: RecordOffset }

final class CollectingSink: RecordSink {
    var records: [[UInt8]] = []
    var offsets: [UInt64] = []
    var timestamps: [Timestamp] = []
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        guard records.count < limit else { return false }
        records.append(Array(record))
        offsets.append(offset.rawValue)
        timestamps.append(timestamp)
        return true
    }
}

/// A record that no other has: its log and number, and bytes up to a size.
func uniqueRecord(_ log: String, _ number: Int, bytes: Int = 0) -> [UInt8] {
    var record = Array("\(log) \(number) ".utf8)
    while record.count < bytes { record.append(UInt8(truncatingIfNeeded: record.count &* 31 &+ number)) }
    return record
}
