import CLinux
import URing

/// Which engine and mode are at work, and why; for the first log line and the stats.
public struct EngineReport: Sendable, Equatable {
    public let kind: EngineKind
    public let mode: WriteMode
    /// Bytes that every commit write is aligned to.
    public let blockBytes: Int
    /// One clause for each choice.
    public let reason: String
}

enum Engine {
    /// io_uring where it is wanted and allowed, else threads with syscalls.
    static func choose(
        _ configuration: CommitLogConfiguration, _ probe: DiskProbe, staging: [UnsafeMutableRawBufferPointer]
    ) throws(CommitLogError) -> (any LogDevice, EngineReport) {
        func report(_ kind: EngineKind, _ reason: String) -> EngineReport {
            EngineReport(
                kind: kind, mode: probe.mode, blockBytes: probe.blockBytes, reason: "\(reason); \(probe.reason)")
        }
        if configuration.engine == .syscalls {
            return (try syscalls(probe.mode), report(.syscalls, "syscalls were asked for"))
        }
        do throws(RingError) {
            let device = unsafe try RingDevice(
                mode: probe.mode, entries: configuration.ringEntryCount, staging: staging,
                registersBuffers: mayRegister(staging))
            return (device, report(.ioURing, "the kernel allows io_uring"))
        } catch {
            if configuration.engine == .ioURing { throw refused(error) }
            return (try syscalls(probe.mode), report(.syscalls, "io_uring is refused (\(error))"))
        }
    }

    static func refused(_ error: RingError) -> CommitLogError {
        .engine("io_uring was asked for and refused: \(error). Allow it, or start with --engine auto or syscalls")
    }

    private static func syscalls(_ mode: WriteMode) throws(CommitLogError) -> SyscallDevice {
        try accessing { () throws(FileError) in try SyscallDevice(mode: mode) }
    }

    /// Registered memory counts against a limit that other processes of the same user share.
    private static func mayRegister(_ staging: [UnsafeMutableRawBufferPointer]) -> Bool {
        let bytes = unsafe staging.reduce(0) { $0 + $1.count }
        return bytes <= CommitLogLimits.registeredBytesMax || clinux_memlock_bytes_max() == .max
    }
}
