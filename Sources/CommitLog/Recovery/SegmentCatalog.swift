import LogFormat

/// The segment files of a data directory, their headers checked, in the order of their positions.
struct SegmentCatalog {
    /// A segment file that is there.
    struct File: Equatable {
        let header: SegmentHeader
        let path: String

        var name: String { DataDirectory.segmentName(header.position) }
        var limit: Position { header.position + Int(header.segmentBytes) }
    }

    let files: [File]
    /// Temporary files that a run left when it ended in the middle.
    let leftovers: [String]
    /// Segments that the checkpoint says are retired, and of which something is still there: never read.
    let retired: [Position]

    /// Reads every header, but those of segments that the checkpoint has retired. Throws where one is unreadable, foreign
    /// or out of its place.
    init(
        _ directory: DataDirectory, _ fileSystem: any FileSystem, _ checkpoint: Checkpoint? = nil
    ) throws(CommitLogError) {
        var files: [File] = []
        var retired: Set<Position> = []
        var leftovers: [String] = []
        let names = try accessing { () throws(FileError) in try fileSystem.list(directory.segmentsPath) }
        for name in names {
            if name.hasSuffix(".tmp") { leftovers.append("\(directory.segmentsPath)/\(name)") }
            let segment = DataDirectory.number(of: name, ending: ".seg")
            guard let number = segment ?? DataDirectory.number(of: name, ending: ".idx") else { continue }
            let position = Position(rawValue: number)
            if checkpoint?.hasRetired(position) ?? false {
                retired.insert(position)
            } else if segment != nil {
                files.append(try Self.read(name, position, directory, fileSystem))
            }
        }
        try Self.checkSequence(files, anchor: checkpoint?.anchor.segment ?? .zero)
        self.files = files
        self.retired = retired.sorted()
        self.leftovers = leftovers
    }

    /// The file that holds this position.
    func index(containing position: Position) -> Int? {
        files.firstIndex { $0.header.position <= position && position < $0.limit }
    }

    private static func read(
        _ name: String, _ position: Position, _ directory: DataDirectory, _ fileSystem: any FileSystem
    ) throws(CommitLogError) -> File {
        let path = "\(directory.segmentsPath)/\(name)"
        let shown = "wal/\(name)"
        let descriptor = try accessing { () throws(FileError) in try fileSystem.open(path, .read) }
        defer { fileSystem.close(descriptor) }
        try accessing { () throws(FileError) in try fileSystem.awaitLock(descriptor, path, isShared: true) }
        // Nothing that is not on the disk may be taken for truth: what a dying process wrote is synced first.
        try accessing { () throws(FileError) in try fileSystem.synchronizeData(descriptor) }
        fileSystem.dropCache(descriptor)
        let header = try decodeHeader(descriptor, shown, position, fileSystem)
        guard header.position == position else {
            throw .damaged(
                Damage(
                    file: shown, position: position, cause: "its header names the position \(header.position.rawValue)")
            )
        }
        let size = try accessing { () throws(FileError) in try fileSystem.byteCount(descriptor) }
        guard size == header.segmentBytes else {
            throw .damaged(
                Damage(
                    file: shown, position: position,
                    cause: "it has \(size) bytes, its header says \(header.segmentBytes)"))
        }
        return File(header: header, path: path)
    }

    private static func decodeHeader(
        _ descriptor: Int32, _ shown: String, _ position: Position, _ fileSystem: any FileSystem
    ) throws(CommitLogError) -> SegmentHeader {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentHeader.byteCount, alignment: 8)
        defer { unsafe buffer.deallocate() }
        let count = try accessing { () throws(FileError) in unsafe try fileSystem.read(descriptor, into: buffer, at: 0)
        }
        do throws(FormatError) {
            return unsafe try SegmentHeader(decoding: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        } catch {
            switch error {
            case .unknownFeatures, .unsupportedVersion: throw .unsupported(file: shown, what: error.description)
            default:
                throw .damaged(
                    Damage(file: shown, position: position, cause: "its header is unreadable (\(error.description))"))
            }
        }
    }

    /// Up to the anchor the checkpoint says which segments are needed; from there on none may be missing.
    private static func checkSequence(_ files: [File], anchor: Position) throws(CommitLogError) {
        guard let first = files.first else { return }
        for (file, next) in zip(files, files.dropFirst()) {
            guard next.header.storeID == first.header.storeID else {
                throw .damaged(
                    Damage(
                        file: "wal/\(next.name)", position: next.header.position, cause: "it belongs to another store"))
            }
            let mayLeaveOut = next.header.position <= anchor && next.header.position > file.limit
            guard mayLeaveOut || next.header.position == file.limit else {
                throw .damaged(
                    Damage(
                        file: "wal/\(next.name)", position: file.limit,
                        cause: "the segment wal/\(DataDirectory.segmentName(file.limit)) before it is missing"))
            }
        }
    }
}

/// Runs file calls, naming their failure as one of the log's.
func accessing<Value>(_ body: () throws(FileError) -> Value) throws(CommitLogError) -> Value {
    do throws(FileError) { return try body() } catch { throw .file(error) }
}
