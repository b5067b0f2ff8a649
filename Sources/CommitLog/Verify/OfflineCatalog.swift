import Glibc
import LogFormat

/// The segment files of a data directory as far as they can be made out, in the order of their positions: where a start
/// would refuse, the damage is noted and the best guess taken.
struct OfflineCatalog {
    /// A segment file.
    struct File {
        /// Its header; where that is unreadable, what its name and its neighbours say.
        let file: SegmentCatalog.File
        /// Its name, relative to the data directory.
        let shown: String
        let hasHeader: Bool
        /// Its size is what its header says.
        let hasSize: Bool
    }

    private(set) var files: [File] = []
    private(set) var damages: [Damage] = []
    /// The newest checkpoint of this store.
    let checkpoint: Checkpoint?
    /// The store that most of the segments belong to.
    let storeID: StoreID

    /// Throws only where the directory cannot be listed or a newer version wrote it.
    init(
        _ directory: DataDirectory, _ fileSystem: any FileSystem, checkpoints: [Checkpoint]
    ) throws(CommitLogError) {
        let names = try accessing { () throws(FileError) in try fileSystem.list(directory.segmentsPath) }
        var causes: [String: String] = [:]
        var found: [(name: String, position: Position, header: SegmentHeader?, size: UInt64)] = []
        for name in names {
            guard let number = DataDirectory.number(of: name, ending: ".seg") else { continue }
            let path = "\(directory.segmentsPath)/\(name)"
            let (header, size, cause) = try Self.read(path, "wal/\(name)", fileSystem)
            let position = Position(rawValue: number)
            found.append((name, position, header, size))
            causes[name] = cause
        }
        // A checkpoint is asked only where no segment says whose it is.
        let ids = found.compactMap { $0.header?.storeID }
        storeID = Self.majority(ids.isEmpty ? checkpoints.map(\.storeID) : ids)
        let storeID = storeID
        let newest = checkpoints.filter { $0.storeID == storeID }.max { $0.through < $1.through }
        checkpoint = newest
        // What a crash left of a segment that was retired is nobody's.
        found.removeAll { newest?.hasRetired($0.position) ?? false }
        let usual = found.lazy.compactMap { $0.header }.first
        for entry in found {
            if let cause = causes[entry.name] {
                damages.append(Damage(file: "wal/\(entry.name)", position: entry.position, cause: cause))
            }
            add(entry, directory, blockBytes: usual?.blockBytes ?? UInt32(CommitLogLimits.blockBytesMin))
        }
        files.sort { $0.file.header.position < $1.file.header.position }
        noteMissing()
    }

    /// Where its header says that a file belongs is believed before its name.
    private mutating func add(
        _ entry: (name: String, position: Position, header: SegmentHeader?, size: UInt64), _ directory: DataDirectory,
        blockBytes: UInt32
    ) {
        let shown = "wal/\(entry.name)"
        func note(_ cause: String) { damages.append(Damage(file: shown, position: entry.position, cause: cause)) }
        let path = "\(directory.segmentsPath)/\(entry.name)"
        let position = entry.header?.position ?? entry.position
        guard position.rawValue <= UInt64(Int64.max) - UInt64(CommitLogLimits.segmentBytesMax) else {
            return note("no segment can be at this position")
        }
        guard let header = entry.header else {
            let guess = SegmentHeader(
                blockBytes: blockBytes, storeID: storeID, position: entry.position,
                segmentBytes: min(entry.size, UInt64(CommitLogLimits.segmentBytesMax)), created: .zero)
            files.append(
                File(
                    file: SegmentCatalog.File(header: guess, path: path), shown: shown, hasHeader: false, hasSize: false
                ))
            return
        }
        if header.position != entry.position { note("its header names the position \(header.position.rawValue)") }
        guard header.storeID == storeID else { return note("it belongs to another store") }
        if header.segmentBytes != entry.size {
            note("it has \(entry.size) bytes, its header says \(header.segmentBytes)")
        }
        let added = File(
            file: SegmentCatalog.File(header: header, path: path), shown: shown, hasHeader: true,
            hasSize: header.segmentBytes == entry.size)
        guard let twin = files.firstIndex(where: { $0.file.header.position == header.position }) else {
            return files.append(added)
        }
        // Two files say that they are the same segment: the one that is named so counts.
        if header.position == entry.position { files[twin] = added }
    }

    /// Notes the segments between others that have no file. Those before the first one are judged by what they held.
    private mutating func noteMissing() {
        for (file, next) in zip(files, files.dropFirst()) {
            let expected = file.file.limit
            guard file.hasHeader, expected != next.file.header.position else { continue }
            let position = next.file.header.position
            if let checkpoint, position > expected, position <= checkpoint.anchor.segment { continue }
            damages.append(
                Damage(
                    file: next.shown, position: expected,
                    cause: "the segment wal/\(DataDirectory.segmentName(expected)) before it is missing"))
        }
        for position in missingKept {
            damages.append(
                Damage(
                    file: "wal/\(DataDirectory.segmentName(position))", position: position,
                    cause: "the segment is missing, and a checkpoint says that it holds records that are kept"))
        }
    }

    /// Segments that the newest checkpoint says are needed, and that are not there.
    var missingKept: [Position] {
        checkpoint?.kept.filter { position in !files.contains { $0.file.header.position == position } } ?? []
    }

    private static func majority(_ ids: [StoreID]) -> StoreID {
        var counts: [StoreID: Int] = [:]
        for id in ids { counts[id, default: 0] += 1 }
        let most = counts.values.max() ?? 0
        return ids.first { counts[$0] == most } ?? StoreID(first: 0, second: 0)
    }

    private static func read(
        _ path: String, _ shown: String, _ fileSystem: any FileSystem
    ) throws(CommitLogError) -> (header: SegmentHeader?, size: UInt64, cause: String?) {
        let descriptor = try accessing { () throws(FileError) in try fileSystem.open(path, .read) }
        defer { fileSystem.close(descriptor) }
        let size = try accessing { () throws(FileError) in
            try fileSystem.awaitLock(descriptor, path, isShared: true)
            try fileSystem.synchronizeData(descriptor)
            fileSystem.dropCache(descriptor)
            return try fileSystem.byteCount(descriptor)
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentHeader.byteCount, alignment: 8)
        defer { unsafe buffer.deallocate() }
        let count: Int
        do throws(FileError) { count = unsafe try fileSystem.read(descriptor, into: buffer, at: 0) } catch {
            guard error.code == EIO else { throw .file(error) }
            return (nil, size, "its header is unreadable (\(error))")
        }
        do throws(FormatError) {
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
            return (unsafe try SegmentHeader(decoding: bytes), size, nil)
        } catch {
            if error.needsNewerVersion { throw .unsupported(file: shown, what: error.description) }
            return (nil, size, "its header is unreadable (\(error.description))")
        }
    }
}
