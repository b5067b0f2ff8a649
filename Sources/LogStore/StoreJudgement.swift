import CommitLog

extension OfflineLog {
    /// Judges the directory as the start of a server does, by the same code, changing nothing: throws what such a start
    /// refuses with.
    public func judgeAsStart() throws(CommitLogError) -> RecoveryReport {
        try judge(StoreReplay(directory: directory.path, fileSystem: fileSystem))
    }
}
