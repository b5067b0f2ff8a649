import LogFormat

/// Open descriptors of segments for readers, the least recently used one closed first. One with a read under way is
/// never closed.
struct SegmentDescriptors: ~Copyable {
    /// What is read, and how.
    enum Target: Equatable {
        /// A segment past the page cache.
        case direct(Position)
        /// A segment through the page cache.
        case cached(Position)
        /// The index of a sealed segment.
        case index(Position)
    }

    private struct Entry {
        let target: Target
        let descriptor: Int32
        var readCount = 0
        var lastUse: UInt64
        /// Its file is gone: closed when the last read has ended.
        var isGone = false
    }

    private let directory: DataDirectory
    private let fileSystem: any FileSystem
    private var entries: [Entry] = []
    private var useCount: UInt64 = 0

    init(directory: DataDirectory, fileSystem: any FileSystem) {
        self.directory = directory
        self.fileSystem = fileSystem
    }

    deinit { for entry in entries { fileSystem.close(entry.descriptor) } }

    /// The descriptor of a target, counted as being read until `endRead`.
    mutating func beginRead(_ target: Target) throws(FileError) -> Int32 {
        useCount += 1
        if let index = entries.firstIndex(where: { $0.target == target }) {
            entries[index].readCount += 1
            entries[index].lastUse = useCount
            return entries[index].descriptor
        }
        let descriptor = try open(target)
        closeOldest()
        entries.append(
            Entry(target: target, descriptor: descriptor, readCount: 1, lastUse: useCount))
        return descriptor
    }

    mutating func endRead(_ descriptor: Int32) {
        guard let index = entries.firstIndex(where: { $0.descriptor == descriptor }) else {
            preconditionFailure("a read ended on a descriptor that is not open")
        }
        entries[index].readCount -= 1
        if entries[index].isGone && entries[index].readCount == 0 {
            fileSystem.close(entries.remove(at: index).descriptor)
        }
    }

    /// The files of a segment go: open descriptors would keep their space. What is being read stays open until its end.
    mutating func forget(_ segment: Position) {
        for index in entries.indices.reversed() {
            guard [.direct(segment), .cached(segment), .index(segment)].contains(entries[index].target) else {
                continue
            }
            entries[index].isGone = true
            if entries[index].readCount == 0 { fileSystem.close(entries.remove(at: index).descriptor) }
        }
    }

    private func open(_ target: Target) throws(FileError) -> Int32 {
        switch target {
        case .direct(let segment): try fileSystem.open(directory.segmentPath(segment), .readDirect)
        case .cached(let segment): try fileSystem.open(directory.segmentPath(segment), .read)
        case .index(let segment): try fileSystem.open(directory.indexPath(segment), .read)
        }
    }

    private mutating func closeOldest() {
        guard entries.count >= CommitLogLimits.openSegmentCountMax else { return }
        let idle = entries.indices.filter { entries[$0].readCount == 0 }
        guard let oldest = idle.min(by: { entries[$0].lastUse < entries[$1].lastUse }) else { return }
        fileSystem.close(entries.remove(at: oldest).descriptor)
    }
}
