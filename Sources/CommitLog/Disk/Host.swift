import LogFormat
import URing

/// What a log takes from the machine besides files and clocks. A protocol, so that the simulator can stand in a machine
/// of its own; it is asked at the opening only.
protocol Host {
    /// Refuses what cannot work here, before anything is made or changed.
    func admit(_ configuration: CommitLogConfiguration, _ directory: DataDirectory) throws(CommitLogError)
    /// Keeps everybody else out of the directory; nil where nobody else can be.
    func lock(_ directory: DataDirectory) throws(CommitLogError) -> DirectoryLock?
    func probe(
        _ configuration: CommitLogConfiguration, _ directory: DataDirectory
    ) throws(CommitLogError) -> DiskProbe
    /// What writes the batches; `staging` are the buffers that they lie in.
    func engine(
        _ configuration: CommitLogConfiguration, _ probe: DiskProbe, staging: [UnsafeMutableRawBufferPointer]
    ) throws(CommitLogError) -> (any LogDevice, EngineReport)
    /// What performs the jobs that block.
    func maintenance(
        _ perform: @escaping @Sendable (Maintenance.Job) -> Maintenance.Outcome
    ) throws(CommitLogError) -> any MaintenanceQueue
    /// The id of a store that is begun now.
    func newStoreID() -> StoreID
}

extension Host {
    func admit(_ configuration: CommitLogConfiguration, _ directory: DataDirectory) throws(CommitLogError) {}
}

/// The kernel.
struct KernelHost: Host {
    /// Stands between the log and its engine; changes nothing unless a test puts faults in.
    var decorate: (any LogDevice) -> any LogDevice = { $0 }

    func admit(_ configuration: CommitLogConfiguration, _ directory: DataDirectory) throws(CommitLogError) {
        try DiskProbe.admit(configuration, directory)
        if configuration.engine == .ioURing, let denial = RingProbe.denialReason() { throw Engine.refused(denial) }
    }

    func lock(_ directory: DataDirectory) throws(CommitLogError) -> DirectoryLock? {
        try DirectoryLock(directory)
    }

    func probe(
        _ configuration: CommitLogConfiguration, _ directory: DataDirectory
    ) throws(CommitLogError) -> DiskProbe {
        try DiskProbe(configuration, directory)
    }

    func engine(
        _ configuration: CommitLogConfiguration, _ probe: DiskProbe, staging: [UnsafeMutableRawBufferPointer]
    ) throws(CommitLogError) -> (any LogDevice, EngineReport) {
        let (device, report) = unsafe try Engine.choose(configuration, probe, staging: staging)
        return (decorate(device), report)
    }

    func maintenance(
        _ perform: @escaping @Sendable (Maintenance.Job) -> Maintenance.Outcome
    ) throws(CommitLogError) -> any MaintenanceQueue {
        try accessing { () throws(FileError) in
            try Worker<Maintenance.Job, Maintenance.Outcome>(name: "wal-maintain", perform: perform)
        }
    }

    func newStoreID() -> StoreID { .random() }
}
