import CommitLog
import LogFormat
import Testing

@testable import LogStore

// Stores that grow over many segments, and shrink again.
extension StoreOnDisk {
    /// Appends until there are so many segments; gives the records.
    @discardableResult
    func fill(_ log: String, segments: Int, recordBytes: Int) throws -> [[UInt8]] {
        var records: [[UInt8]] = []
        while store.wal.segments.count < segments || records.count < 6 {
            records.append(uniqueRecord(log, records.count, bytes: recordBytes))
            try append(log, records[records.count - 1])
        }
        return records
    }

    func trim(_ log: String, before offset: RecordOffset) throws {
        let slot = try #require(self.slot(log))
        guard case .staged(let ticket) = store.trim(slot, before: offset) else { throw DeletedLog() }
        settle { store.wal.durable.number >= ticket.batch }
    }

    func make(_ log: String, _ retention: Retention) throws {
        let change = Array(log.utf8).withUnsafeBytes { store.create($0, LogSettings(retention: retention)) }
        guard case .staged(let ticket) = change else { throw DeletedLog() }
        settle { store.wal.durable.number >= ticket.batch }
    }

    func summary(_ log: String) -> LogSummary { store.summary(slot(log)!) }

    var segmentPositions: [Position] { store.wal.segments.map(\.position) }

    private func fileCount(_ ending: String) -> Int {
        ((try? PosixFileSystem().list("\(directory)/wal")) ?? []).count { $0.hasSuffix(ending) }
    }

    var segmentFileCount: Int { fileCount(".seg") }
    var indexFileCount: Int { fileCount(".idx") }
}
