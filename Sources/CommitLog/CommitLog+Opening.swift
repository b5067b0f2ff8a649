import Glibc
import LogFormat

/// What a log needs of its surroundings.
struct Environment {
    let directory: DataDirectory
    let fileSystem: any FileSystem
    let clock: any LogClock
    let probe: DiskProbe
    let host: any Host
}

extension CommitLog {
    /// Opens the log in a data directory, making a new one in an empty directory, recovers it through the visitor,
    /// begins a new epoch and waits until that is durable. Must be called on the loop's thread.
    public static func open(
        _ configuration: CommitLogConfiguration, fileSystem: any FileSystem = PosixFileSystem(),
        clock: any LogClock = SystemClock(), visitor: any RecoveryVisitor
    ) throws(CommitLogError) -> CommitLog {
        try open(configuration, fileSystem: fileSystem, clock: clock, visitor: visitor, host: KernelHost())
    }

    /// As the public one, with a decorator around the engine.
    static func open(
        _ configuration: CommitLogConfiguration, fileSystem: any FileSystem, clock: any LogClock,
        visitor: any RecoveryVisitor, decorate: @escaping (any LogDevice) -> any LogDevice
    ) throws(CommitLogError) -> CommitLog {
        try open(
            configuration, fileSystem: fileSystem, clock: clock, visitor: visitor, host: KernelHost(decorate: decorate))
    }

    /// As the public one, on another machine than the kernel's.
    static func open(
        _ configuration: CommitLogConfiguration, fileSystem: any FileSystem, clock: any LogClock,
        visitor: any RecoveryVisitor, host: any Host
    ) throws(CommitLogError) -> CommitLog {
        let began = clock.monotonicMicroseconds
        let directory = DataDirectory(path: configuration.directory)
        try configuration.check(blockBytes: CommitLogLimits.blockBytesMin)
        try host.admit(configuration, directory)
        try makeDirectories(directory, fileSystem)
        let lock = try host.lock(directory)
        let probe = try host.probe(configuration, directory)
        try configuration.check(blockBytes: probe.blockBytes)
        let environment = Environment(
            directory: directory, fileSystem: fileSystem, clock: clock, probe: probe, host: host)
        let recovered = try Recovery(directory: directory, fileSystem: fileSystem, content: configuration.content).run(
            visitor)
        var (log, descriptor) = try begin(recovered, configuration, environment)
        log.report.microseconds = clock.monotonicMicroseconds - began
        let wal = try CommitLog(configuration, environment, log, activeDescriptor: descriptor, lock: lock)
        try wal.takeSpare(log.spares)
        try wal.beginEpoch()
        return wal
    }

    /// Waits until everything is durable, seals it, and says whether all went well. The owner has stopped appending.
    public func finish(deadlineMicroseconds: Int64) -> Bool {
        guard drain(deadlineMicroseconds: deadlineMicroseconds) else { return false }
        // In a batch of its own: a seal proves the batches before it, and not those that share its fate.
        if !isSealed { _ = stageMark(.seal) }
        return drain(deadlineMicroseconds: deadlineMicroseconds)
    }

    private func drain(deadlineMicroseconds: Int64) -> Bool {
        var events = LoopEvents()
        while isBusy {
            let now = clock.monotonicMicroseconds
            if now >= deadlineMicroseconds { return false }
            let remaining = deadlineMicroseconds - now
            wait(timeoutMicroseconds: min(turn() ?? remaining, remaining), into: &events)
        }
        return !commit.isPoisoned
    }

    private static func makeDirectories(
        _ directory: DataDirectory, _ fileSystem: any FileSystem
    ) throws(CommitLogError) {
        try accessing { () throws(FileError) in
            try fileSystem.makeDirectory(directory.path)
            try fileSystem.makeDirectory(directory.segmentsPath)
            try fileSystem.makeDirectory(directory.checkpointsPath)
            try fileSystem.synchronizeDirectory(directory.path)
            // A process that died between a rename and the sync behind it left names that are in the cache alone: what is
            // acknowledged in such a file would go with its name.
            try fileSystem.synchronizeDirectory(directory.segmentsPath)
            try fileSystem.synchronizeDirectory(directory.checkpointsPath)
        }
    }

    /// Opens the active segment for writing; makes the first one of a new store.
    private static func begin(
        _ recovered: RecoveredLog?, _ configuration: CommitLogConfiguration, _ environment: Environment
    ) throws(CommitLogError) -> (RecoveredLog, Int32) {
        if let recovered {
            let path = environment.directory.segmentPath(recovered.segments[recovered.segments.count - 1].position)
            let descriptor = try accessing { () throws(FileError) in
                try environment.fileSystem.openForCommits(path, environment.probe.mode)
            }
            return (recovered, descriptor)
        }
        // The data directory itself may have been made just now; its name must be durable before anything in it counts.
        try accessing { () throws(FileError) in
            do throws(FileError) {
                try environment.fileSystem.synchronizeDirectory(environment.directory.parentPath)
            } catch {
                // Not ours to read, so made by somebody else.
                if error.code != EACCES { throw error }
            }
        }
        let header = SegmentHeader(
            blockBytes: UInt32(environment.probe.blockBytes), storeID: environment.host.newStoreID(), position: .zero,
            segmentBytes: UInt64(configuration.segmentBytes), created: environment.clock.now,
            incompatibleFeatures: configuration.content.features)
        let preparation = SegmentPreparation(
            fileSystem: environment.fileSystem, directory: environment.directory, mode: environment.probe.mode)
        let descriptor = try accessing { () throws(FileError) in try preparation.prepare(header) }
        let segment = Segment(header: header, chainStart: .beginning, end: .zero + Int(header.blockBytes))
        var report = RecoveryReport()
        report.isNewStore = true
        return (
            RecoveredLog(storeID: header.storeID, segments: [segment], spares: [], chain: .beginning, report: report),
            descriptor
        )
    }

    /// Takes over a spare that the last run had made, if it still suits; has another one made if not.
    private func takeSpare(_ spares: [SegmentCatalog.File]) throws(CommitLogError) {
        // A second one was ready when the first batch of the first one was torn. The first may now be replaced by one
        // of another size, and then this one would lie in the middle of it. It holds no batch; another is made in time.
        for file in spares.dropFirst().reversed() {
            try accessing { () throws(FileError) in
                try fileSystem.remove(file.path)
                // Durably: a crash must not bring it back beside one that has been replaced.
                try fileSystem.synchronizeDirectory(directory.segmentsPath)
            }
        }
        if let file = spares.first, Int(file.header.blockBytes) == engine.blockBytes,
            file.header.segmentBytes == UInt64(configuration.segmentBytes)
        {
            let descriptor = try accessing { () throws(FileError) in
                try fileSystem.openForCommits(file.path, engine.mode)
            }
            spare = .ready(file.header, descriptor: descriptor)
        } else {
            prepareSpare()
        }
        // The disk now asks for other blocks, smaller or larger: the segment is closed where it stands. The staging
        // buffers, and what fits a segment, are counted in blocks of one size.
        if Int(active.header.blockBytes) != engine.blockBytes { active.end = active.limit }
    }

    /// Writes the first batch of this process and waits for it: what recovery showed stays true after a second crash.
    private func beginEpoch() throws(CommitLogError) {
        chain.epoch = chain.epoch.next
        var events = LoopEvents()
        while true {
            if stageMark(.epoch) { break }
            if case .failed(let error, _) = spare { throw .file(error) }
            if let cause = poisonCause { throw .poisoned(cause) }
            wait(timeoutMicroseconds: nil, into: &events)
        }
        while durable.number != chain.number || !builders[filling].isEmpty {
            wait(timeoutMicroseconds: turn(), into: &events)
            if let cause = poisonCause { throw .poisoned(cause) }
        }
    }
}
