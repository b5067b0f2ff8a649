import LogFormat

@testable import CommitLog

/// What may be another one at each start: the directory was moved, or the server is configured otherwise.
struct Machine: Equatable {
    let mode: WriteMode
    let engine: EngineKind
    let blockBytes: Int
    let segmentBytes: Int
}

/// A machine of its own: its disk, its clock, and the maintenance work as one of the things that the device does.
final class SimulatedHost: Host {
    private let disk: SimulatedDisk
    private let clock: SimulatedClock
    private let machine: Machine

    init(_ disk: SimulatedDisk, _ clock: SimulatedClock, _ machine: Machine) {
        self.disk = disk
        self.clock = clock
        self.machine = machine
    }

    private var queue: SimulatedQueue?

    func lock(_ directory: DataDirectory) -> DirectoryLock? { nil }

    func probe(_ configuration: CommitLogConfiguration, _ directory: DataDirectory) -> DiskProbe {
        DiskProbe(mode: machine.mode, reason: "simulated", blockBytes: machine.blockBytes)
    }

    func engine(
        _ configuration: CommitLogConfiguration, _ probe: DiskProbe, staging: [UnsafeMutableRawBufferPointer]
    ) -> (any LogDevice, EngineReport) {
        let queue = SimulatedQueue(disk)
        self.queue = queue
        let report = EngineReport(
            kind: machine.engine, mode: machine.mode, blockBytes: probe.blockBytes, reason: "simulated")
        return (SimulatedDevice(disk, clock, queue, machine), report)
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

/// Time goes on when the device waits; the time of day also jumps.
final class SimulatedClock: LogClock {
    private var seed: Seed
    private(set) var monotonicMicroseconds: Int64 = 5_000_000
    private var jump: Int64 = 1_700_000_000_000_000

    init(_ seed: inout Seed) { self.seed = seed.branch() }

    var now: Timestamp { Timestamp(rawValue: UInt64(monotonicMicroseconds + jump)) }

    /// Much time passes: for the time of day only, as the device has its own.
    func leap(seconds: Int64) { jump += seconds * 1_000_000 }

    func advance(microseconds: Int64) {
        monotonicMicroseconds += microseconds
        if seed.once(in: 64) { jump += Int64(seed.below(20_000_000)) - 10_000_000 }
    }
}
