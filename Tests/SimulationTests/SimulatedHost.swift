import LogFormat

@testable import WriteAheadLog

/// A machine of its own: its disk, its clock, and the maintenance work as one of the things that the device does.
final class SimulatedHost: Host {
    private let disk: SimulatedDisk
    private let clock: SimulatedClock
    private let mode: WriteMode

    init(_ disk: SimulatedDisk, _ clock: SimulatedClock, _ mode: WriteMode) {
        self.disk = disk
        self.clock = clock
        self.mode = mode
    }

    private var queue: SimulatedQueue?

    func lock(_ directory: DataDirectory) -> DirectoryLock? { nil }

    func probe(_ configuration: WriteAheadLogConfiguration, _ directory: DataDirectory) -> DiskProbe {
        DiskProbe(mode: mode, reason: "simulated", blockBytes: 4096)
    }

    func engine(
        _ configuration: WriteAheadLogConfiguration, _ probe: DiskProbe, staging: [UnsafeMutableRawBufferPointer]
    ) -> (any LogDevice, EngineReport) {
        let queue = SimulatedQueue(disk)
        self.queue = queue
        let report = EngineReport(kind: .syscalls, mode: mode, blockBytes: probe.blockBytes, reason: "simulated")
        return (SimulatedDevice(disk, clock, queue, mode), report)
    }

    func maintenance(
        _ perform: @escaping @Sendable (Maintenance.Job) -> Maintenance.Outcome
    ) -> any MaintenanceQueue {
        guard let queue else { preconditionFailure("the maintenance begins before the engine") }
        queue.perform = perform
        return queue
    }

    func newStoreID() -> StoreID { StoreID(first: disk.seed.next(), second: disk.seed.next()) }
}

/// The maintenance jobs, performed when the device draws them. One thread uses it.
final class SimulatedQueue: MaintenanceQueue, @unchecked Sendable {
    private let disk: SimulatedDisk
    private var jobs: [Maintenance.Job] = []
    private var outcomes: [Maintenance.Outcome] = []
    var perform: (@Sendable (Maintenance.Job) -> Maintenance.Outcome)?

    init(_ disk: SimulatedDisk) { self.disk = disk }

    let outcomeDescriptor: Int32 = -1
    let runsBesideTheLoop = false
    var hasJobs: Bool { !jobs.isEmpty }
    var hasOutcomes: Bool { !outcomes.isEmpty }

    func post(_ job: Maintenance.Job) { jobs.append(job) }

    func performOne() { outcomes.append(perform!(jobs.removeFirst())) }

    func takeOutcomes() -> [Maintenance.Outcome] {
        defer { outcomes = [] }
        return outcomes
    }

    func stop() {
        while hasJobs && !disk.isDead { performOne() }
    }
}

/// Time goes on when the device waits; the time of day also jumps.
final class SimulatedClock: LogClock {
    private var seed: Seed
    private(set) var monotonicMicroseconds: Int64 = 5_000_000
    private var jump: Int64 = 1_700_000_000_000_000

    init(_ seed: inout Seed) { self.seed = seed.branch() }

    var now: Timestamp { Timestamp(rawValue: UInt64(monotonicMicroseconds + jump)) }

    func advance(microseconds: Int64) {
        monotonicMicroseconds += microseconds
        if seed.once(in: 64) { jump += Int64(seed.below(20_000_000)) - 10_000_000 }
    }
}
