import LogFormat

/// Open descriptors of segments for readers, the least recently used one closed first. One with a read under way is
/// never closed.
struct SegmentDescriptors: ~Copyable {
    private struct Entry {
        let segment: Position
        let isDirect: Bool
        let descriptor: Int32
        var readCount = 0
        var lastUse: UInt64
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

    /// The descriptor of a segment, counted as being read until `endRead`.
    mutating func beginRead(_ segment: Position, isDirect: Bool) throws(FileError) -> Int32 {
        useCount += 1
        if let index = entries.firstIndex(where: { $0.segment == segment && $0.isDirect == isDirect }) {
            entries[index].readCount += 1
            entries[index].lastUse = useCount
            return entries[index].descriptor
        }
        let descriptor = try fileSystem.open(directory.segmentPath(segment), isDirect ? .readDirect : .read)
        closeOldest()
        entries.append(
            Entry(segment: segment, isDirect: isDirect, descriptor: descriptor, readCount: 1, lastUse: useCount))
        return descriptor
    }

    mutating func endRead(_ descriptor: Int32) {
        guard let index = entries.firstIndex(where: { $0.descriptor == descriptor }) else {
            preconditionFailure("a read ended on a descriptor that is not open")
        }
        entries[index].readCount -= 1
    }

    private mutating func closeOldest() {
        guard entries.count >= WriteAheadLogLimits.openSegmentCountMax else { return }
        let idle = entries.indices.filter { entries[$0].readCount == 0 }
        guard let oldest = idle.min(by: { entries[$0].lastUse < entries[$1].lastUse }) else { return }
        fileSystem.close(entries.remove(at: oldest).descriptor)
    }
}
