import LogFormat

/// Removes the files of a retired segment: no start reads them any more, so a crash in between leaves nothing that matters.
struct SegmentRemoval {
    let directory: DataDirectory
    let fileSystem: any FileSystem

    /// The index first, then the segment, shortened step by step.
    func remove(_ segment: Position) throws(FileError) {
        let names = try fileSystem.list(directory.segmentsPath)
        if names.contains(DataDirectory.indexName(segment)) { try fileSystem.remove(directory.indexPath(segment)) }
        if names.contains(DataDirectory.segmentName(segment)) {
            try shorten(directory.segmentPath(segment))
            try fileSystem.remove(directory.segmentPath(segment))
        }
        try fileSystem.synchronizeDirectory(directory.segmentsPath)
    }

    private func shorten(_ path: String) throws(FileError) {
        let descriptor = try fileSystem.open(path, .write)
        defer { fileSystem.close(descriptor) }
        var byteCount = try fileSystem.byteCount(descriptor)
        while byteCount > 0 {
            byteCount -= min(byteCount, UInt64(CommitLogLimits.removalStepBytes))
            try fileSystem.shorten(descriptor, to: byteCount)
        }
    }
}
