import CommitLog
import LogFormat
import Testing

@testable import AppendLogService
@testable import LogStore

/// What a scan gives, record by record.
final class CollectingScan: OfflineScanVisitor {
    var kept: [LogID: [UInt64: WrittenStore.Record]] = [:]
    var damages: [Damage] = []
    var losses: [Loss] = []

    func keep(_ frame: FrameView, _ place: FramePlace, log: [UInt8]?) {
        guard frame.header.kind == .append else { return }
        frame.forEachRecord(from: 0) { index, record in
            let offset = (frame.header.firstOffset + index).rawValue
            #expect(kept[frame.header.logID]?[offset] == nil, "record \(offset) was given twice")
            kept[frame.header.logID, default: [:]][offset] = WrittenStore.Record(
                timestamp: frame.header.timestamp, bytes: Array(record))
            return true
        }
    }

    func damage(_ damage: Damage) { damages.append(damage) }
    func loss(_ loss: Loss) { losses.append(loss) }

    var hasUnattributed: Bool {
        losses.contains { if case .unattributed = $0 { true } else { false } }
    }
}

/// Holds what start, verify and repair say about a damaged directory against what was acknowledged in it.
struct DamageOracle {
    let store: WrittenStore
    let ids: [String: LogID]

    init(_ store: WrittenStore) throws {
        self.store = store
        let log = try OfflineLog(path: WrittenStore.path, fileSystem: MemoryFileSystem(store.files))
        let collected = CollectingScan()
        var scan = OfflineScan(log, collected)
        try scan.run()
        #expect(collected.damages.isEmpty && collected.losses.isEmpty)
        ids = [String: LogID](
            uniqueKeysWithValues: scan.logs.byID.map { (String(decoding: $0.value.name, as: UTF8.self), $0.key) })
        for (name, records) in store.acknowledged {
            #expect(collected.kept[ids[name]!]?.count == records.count)
        }
    }

    enum Seen { case whole, torn, damaged }

    /// Checks everything about one damaged directory; says what was seen of it.
    @discardableResult
    func check(_ files: MemoryFileSystem.Files, _ what: String, repairs: Bool = true) throws -> Seen {
        let system = MemoryFileSystem(files)
        guard let log = try opened(system, what) else { return .damaged }
        let start = judge(log, what)
        let found = CollectingScan()
        var scan = OfflineScan(log, found)
        try scan.run(salvagesTail: true)
        let isWhole = found.damages.isEmpty && found.losses.isEmpty
        switch start {
        case .failure(let damage):
            #expect(
                found.damages.contains { $0.file == damage.file && $0.position == damage.position },
                "\(what): a start says \(damage), verify \(found.damages)")
        case .success(let torn):
            if isWhole { #expect(torn || found.kept.values.reduce(0) { $0 + $1.count } == total, "\(what)") }
        }
        // A lock file that is not there is made, as a server would.
        #expect(
            system.files == files.merging(["\(WrittenStore.path)/LOCK": []]) { old, _ in old },
            "\(what): looking changed the directory")
        checkExact(found, scan.logs, what)
        if repairs { try checkRepair(system, found, scan, what) }
        return scan.tail.tornBytes > 0 ? .torn : isWhole ? .whole : .damaged
    }

    private var total: Int { store.acknowledged.values.reduce(0) { $0 + $1.count } }

    /// A directory without its folder `wal` is none of ours, and said so.
    private func opened(_ system: MemoryFileSystem, _ what: String) throws -> OfflineLog? {
        do throws(CommitLogError) {
            return try OfflineLog(path: WrittenStore.path, fileSystem: system)
        } catch {
            guard case .configuration = error else { throw error }
            #expect(!system.files.keys.contains { $0.contains("/wal/") }, "\(what)")
            return nil
        }
    }

    /// What a start does: refuses with a damage, or shows all that was acknowledged; true if it cuts a torn batch.
    private func judge(_ log: OfflineLog, _ what: String) -> Result<Bool, Damage> {
        let replay = StoreReplay(directory: WrittenStore.path, fileSystem: log.fileSystem)
        let report: RecoveryReport
        do throws(CommitLogError) { report = try log.judge(replay) } catch {
            guard case .damaged(let damage) = error else {
                Issue.record("\(what): a start ends with \(error)")
                return .success(false)
            }
            #expect(!damage.file.isEmpty && !damage.cause.isEmpty)
            return .failure(damage)
        }
        let sure = store.isSealed || report.tornBytes == 0 ? store.acknowledged : store.beforeLastBatch
        for (name, records) in sure {
            let slot = Array(name.utf8).withUnsafeBytes { replay.table.slot(named: $0) }
            let next = slot.map { replay.table[$0].durableNext.rawValue } ?? 0
            #expect(next >= records.count, "\(what): a start shows log \(name) up to \(next) of \(records.count)")
        }
        return .success(report.tornBytes > 0)
    }

    /// Kept and lost together are what was acknowledged: no record in neither, none in both, none invented.
    private func checkExact(_ found: CollectingScan, _ logs: OfflineLogs, _ what: String) {
        let byName = [[UInt8]: LogID](uniqueKeysWithValues: logs.byID.map { ($0.value.name, $0.key) })
        var lost: [LogID: Set<UInt64>] = [:]
        for case .records(let name, let range, _) in found.losses {
            for offset in range.lowerBound.rawValue..<range.upperBound.rawValue {
                lost[byName[name] ?? .none, default: []].insert(offset)
            }
        }
        for (name, records) in store.acknowledged {
            let id = ids[name]!
            let kept = found.kept[id] ?? [:]
            let gone = lost[id] ?? []
            let next = logs.byID[id]?.next.rawValue ?? 0
            for (index, record) in records.enumerated() {
                let offset = UInt64(index)
                if let have = kept[offset] {
                    #expect(have == record && !gone.contains(offset), "\(what): record \(offset) of \(name)")
                } else if !gone.contains(offset) {
                    #expect(
                        found.hasUnattributed && offset >= next
                            || !store.isSealed && offset >= (store.beforeLastBatch[name]?.count ?? 0),
                        "\(what): record \(offset) of \(name) is neither kept nor listed")
                }
            }
            #expect(
                kept.keys.allSatisfy { $0 < records.count } && gone.allSatisfy { $0 < records.count },
                "\(what): \(name)")
        }
        #expect(found.kept.keys.allSatisfy { ids.values.contains($0) }, "\(what): records of a log that never was")
    }

    /// The copy opens, holds exactly what is kept, and goes on behind it.
    private func checkRepair(
        _ system: MemoryFileSystem, _ found: CollectingScan, _ scan: OfflineScan, _ what: String
    ) throws {
        let before = system.files
        guard before.keys.contains(where: { $0.hasSuffix(".seg") }) else { return }
        let result = try Repair(WrittenStore.path, fileSystem: system, report: { _ in }).run()
        #expect(result.directory == "\(WrittenStore.path).repaired")
        #expect(system.files.filter { $0.key.hasPrefix("\(WrittenStore.path)/") } == before, "\(what): the original")
        #expect(!system.files.keys.contains { $0.contains(".unfinished") })
        let copy = try OfflineLog(path: result.directory, fileSystem: system)
        let replay = StoreReplay(directory: result.directory, fileSystem: system)
        _ = try copy.judge(replay)
        let again = CollectingScan()
        var rescan = OfflineScan(copy, again)
        try rescan.run()
        #expect(again.kept == found.kept, "\(what): the copy holds something else than was kept")
        #expect(again.damages.isEmpty && again.losses.isEmpty, "\(what): \(again.damages) \(again.losses)")
        for (id, log) in scan.logs.byID {
            let slot = log.name.withUnsafeBytes { replay.table.slot(named: $0) }
            #expect(
                slot.map { replay.table[$0].id } == id && slot.map { replay.table[$0].durableNext } == log.next,
                "\(what)")
        }
        #expect(replay.nextID == scan.logs.nextID, "\(what)")
        #expect(replay.nextID.rawValue > ids.values.max()!.rawValue, "\(what): a log id would be given again")
    }
}
