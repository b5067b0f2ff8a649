import CommitLog
import Glibc
import LogFormat
import LogStore

/// `appendlog repair`: writes what is whole of a data directory into a new one beside it.
public struct Repair {
    /// What became of a repair.
    public struct Result: Sendable {
        public let directory: String
        public let logCount: Int
        public let recordCount: UInt64
        public let damageCount: Int
        public let lossCount: Int
    }

    private let log: OfflineLog
    private let output: String
    private let fileSystem: any FileSystem
    private let report: (String) -> Void

    /// Holds the lock of the original, which a server cannot have meanwhile. `report` gets a line for each damage and for
    /// each thing that is not in the copy.
    public init(
        _ path: String, output: String? = nil, fileSystem: any FileSystem = PosixFileSystem(),
        report: @escaping (String) -> Void
    ) throws(CommitLogError) {
        log = try OfflineLog(path: path, fileSystem: fileSystem)
        self.output = DataDirectory(path: output ?? log.directory.path + ".repaired").path
        self.fileSystem = fileSystem
        self.report = report
    }

    /// Writes the copy, reads it back, and gives it its name: until then it is called `NAME.unfinished`, and is removed
    /// if anything fails. What is there under that name already is never touched: it may be somebody's only store.
    public func run() throws(CommitLogError) -> Result {
        try log.requireNamedLogs()
        guard try !exists(output) else {
            throw .configuration("\(output) is there already: a repair writes to a new directory only")
        }
        guard let first = log.segments.first else {
            throw .configuration("\(log.directory.path) has no segments: there is nothing to repair")
        }
        let blockBytes = Int(log.readableSegments.first?.blockBytes ?? first.blockBytes)
        let unfinished = DataDirectory(path: output + ".unfinished")
        guard try !exists(unfinished.path) else {
            throw .configuration(
                "\(unfinished.path) is there already, perhaps from a repair that was interrupted: remove it first")
        }
        do throws(CommitLogError) {
            let result = try write(to: unfinished, blockBytes: blockBytes)
            try check(unfinished, result)
            try naming { () throws(FileError) in
                try fileSystem.rename(unfinished.path, to: output)
                try fileSystem.synchronizeDirectory(DataDirectory(path: output).parentPath)
            }
            return result
        } catch {
            // The error that is under way says more than one of the removal.
            do throws(CommitLogError) { try remove(unfinished) } catch {}
            throw error
        }
    }

    private func write(to directory: DataDirectory, blockBytes: Int) throws(CommitLogError) -> Result {
        let sizes = log.readableSegments.map { Int($0.segmentBytes) }
        let segmentBytes = sizes.max() ?? CommitLogLimits.segmentBytesDefault
        let created = log.segments.map(\.created).max() ?? .zero
        let writer = try naming { () throws(FileError) in
            try CopyWriter(
                directory, segmentBytes: segmentBytes, blockBytes: blockBytes, created: created, fileSystem: fileSystem)
        }
        let copy = Copy(writer, report)
        var scan = OfflineScan(log, copy)
        try scan.run(salvagesTail: true)
        try naming { () throws(FileError) in
            try copy.finish(scan.logs)
        }
        return Result(
            directory: output, logCount: scan.logs.byID.count,
            recordCount: scan.logs.byID.values.reduce(0) { $0 + $1.recordCount }, damageCount: scan.damageCount,
            lossCount: scan.lossCount)
    }

    /// The copy is believed only when it was read back.
    private func check(_ directory: DataDirectory, _ result: Result) throws(CommitLogError) {
        let found = try Verification(OfflineLog(path: directory.path, fileSystem: fileSystem))
        guard found.lossCount == 0, found.damageCount == found.complaintCount, found.recordCount == result.recordCount,
            found.logCount == result.logCount
        else {
            throw .configuration("the copy does not read back as it was written: is its disk damaged too?")
        }
    }

    /// Removes what this repair has made, and nothing else.
    private func remove(_ directory: DataDirectory) throws(CommitLogError) {
        guard try exists(directory.path) else { return }
        for path in [directory.segmentsPath, directory.checkpointsPath] where try exists(path) {
            try naming { () throws(FileError) in
                for name in try fileSystem.list(path) where name.hasSuffix(".seg") {
                    try fileSystem.remove("\(path)/\(name)")
                }
                try Self.removeDirectory(path)
            }
        }
        try naming { () throws(FileError) in
            if try fileSystem.list(directory.path).contains("LOCK") { try fileSystem.remove(directory.lockPath) }
            try Self.removeDirectory(directory.path)
        }
    }

    private func exists(_ path: String) throws(CommitLogError) -> Bool {
        do throws(FileError) {
            _ = try fileSystem.list(path)
            return true
        } catch {
            if error.code == ENOENT { return false }
            if error.code == ENOTDIR { return true }
            throw .file(error)
        }
    }

    private static func removeDirectory(_ path: String) throws(FileError) {
        guard unsafe rmdir(path) == 0 else { throw FileError(operation: "rmdir", path: path, code: errno) }
    }
}

/// Says of a failed call on the copy that it was the copy.
private func naming<Value>(_ body: () throws(FileError) -> Value) throws(CommitLogError) -> Value {
    do throws(FileError) { return try body() } catch {
        let what = error.code == ENOSPC ? "there is no room for the copy" : "the copy could not be written"
        throw .configuration("\(what): \(error). The original was not touched; --output DIR writes it elsewhere")
    }
}

/// Puts the frames that a scan keeps, and what is missing between them, into a copy.
private final class Copy: OfflineScanVisitor {
    private let writer: CopyWriter
    private let report: (String) -> Void
    private var lastBatchBytes = 0

    init(_ writer: CopyWriter, _ report: @escaping (String) -> Void) {
        self.writer = writer
        self.report = report
    }

    func keep(_ frame: FrameView, _ place: FramePlace, log: [UInt8]?) throws(CommitLogError) {
        // The marks of a store are its own: the copy gets new ones.
        if frame.header.kind == .seal || frame.header.kind == .epoch { return }
        writer.reserve(batchBytes: place.batchBytes)
        try naming { () throws(FileError) in try writer.add(frame) }
    }

    func insert(_ insertion: OfflineLogs.Insertion, at timestamp: Timestamp) throws(CommitLogError) {
        try naming { () throws(FileError) in
            switch insertion {
            case .create(let id, let name, let created, let settings, _):
                var fields = FieldWriter()
                fields.append(.logName, name)
                settings.write(to: &fields)
                let header = FrameHeader(
                    kind: .create, recordCount: 0, logID: id, firstOffset: .zero, timestamp: created, payloadBytes: 0)
                try writer.add(header, fields)
            case .lost(let id, let records):
                let (header, fields) = FrameHeader.lost(id, records, timestamp: timestamp)
                try writer.add(header, fields)
            case .configure(let id, let settings):
                var fields = FieldWriter()
                settings.write(to: &fields)
                try add(.configure, id, .zero, timestamp, fields)
            case .trim(let id, let first): try add(.trim, id, first, timestamp)
            case .close(let id): try add(.close, id, .zero, timestamp)
            }
        }
    }

    private func add(
        _ kind: FrameKind, _ id: LogID, _ first: RecordOffset, _ timestamp: Timestamp,
        _ fields: FieldWriter = FieldWriter()
    ) throws(FileError) {
        let header = FrameHeader(
            kind: kind, recordCount: 0, logID: id, firstOffset: first, timestamp: timestamp, payloadBytes: 0)
        try writer.add(header, fields)
    }

    func endBatch() throws(CommitLogError) {
        try naming { () throws(FileError) in try writer.endBatch() }
    }

    func damage(_ damage: Damage) { report("damage: \(damage)") }
    func loss(_ loss: Loss) { report("not kept: \(loss)") }

    /// Ends the copy: ids that may have been given are not given again.
    func finish(_ logs: OfflineLogs) throws(FileError) {
        let last = LogID(rawValue: logs.nextID.rawValue - 1)
        if logs.byID[last] == nil && last > .none {
            let (header, fields) = FrameHeader.lost(last, .zero..<(.zero), timestamp: logs.lastTimestamp)
            try writer.add(header, fields)
        }
        try writer.finish(at: logs.lastTimestamp)
    }
}
