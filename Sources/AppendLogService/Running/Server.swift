import CLinux
import CommitLog
import Glibc
import LogStore
import Logging

/// The process around the loop: signals, threads, the first and the last log line, the exit status.
///
/// - Main waits for signals. The first one asks the loop to drain, the second one ends the process at once.
/// - The loop's thread does everything else, and ends the process when it is through.
public enum Server {
    /// Exit status 0: drained. 1: refused to start, uncommitted appends at the deadline, or a failed disk.
    /// 130: a second signal.
    public static func run(_ configuration: ServerConfiguration, _ logger: Logger) -> Never {
        // A client that has gone is an error of the write to it, not a reason to die.
        _ = signal(SIGPIPE, SIG_IGN)
        let signals = StopSignals()
        let drainDescriptor: Int32
        do throws(FileError) { drainDescriptor = try makeEventDescriptor() } catch {
            logger.error("\(error)")
            exit(1)
        }
        guard let bounded = boundedByDescriptors(configuration, logger) else { exit(1) }
        do throws(FileError) {
            _ = try startThread {
                unsafe clinux_name_thread("loop")
                serve(bounded, asked: configuration, drainDescriptor: drainDescriptor, logger)
                exit(0)
            }
        } catch {
            logger.error("\(error)")
            exit(1)
        }
        signals.wait()
        signalEvent(drainDescriptor)
        signals.wait()
        // Not exit(): nothing may run any more, the loop may be in the middle of anything.
        _exit(130)
    }

    /// On the loop's thread: returns when everything is drained, and ends the process if it comes to something else.
    /// Only a store that was drained is taken apart: of a disk that failed or stalls, nobody knows when it lets go of its
    /// threads and buffers.
    private static func serve(
        _ configuration: ServerConfiguration, asked: ServerConfiguration, drainDescriptor: Int32, _ logger: Logger
    ) {
        let loop: Loop
        do { loop = try Loop(configuration, drainDescriptor: drainDescriptor, logger) } catch {
            logger.error("\(error)")
            exit(1)
        }
        announce(loop, configuration, logger)
        if configuration.http.connectionsMax < asked.http.connectionsMax {
            logger.warning(
                "fewer connections are served than --connections-max says: the limit of open files is low (ulimit -Hn)",
                metadata: ["connections_max": "\(configuration.http.connectionsMax)"])
        }
        switch loop.run() {
        case .drained:
            logger.info("stopped")
        case .uncommitted(let records):
            logger.error(
                "stopped at the deadline with records that are not durable and were not acknowledged",
                metadata: ["records": "\(records)"])
            exit(1)
        case .poisoned(.engine):
            logger.error("stopped as the kernel refuses io_uring: start with --engine syscalls, or allow it for good")
            exit(1)
        case .poisoned(.write), .poisoned(.sync):
            logger.error("stopped after a failed write: find out what is wrong with the disk before the next start")
            exit(1)
        }
    }

    private static func announce(_ loop: Loop, _ configuration: ServerConfiguration, _ logger: Logger) {
        let wal = loop.store.wal
        // The one line that stands in the log whatever the level.
        var logger = logger
        logger.logLevel = min(logger.logLevel, .info)
        let hostEnd = configuration.listen.lastIndex(of: ":") ?? configuration.listen.endIndex
        logger.info(
            "appendlog \(Version.current)",
            metadata: [
                "listening": "\(configuration.listen[..<hostEnd]):\(loop.frontEnd.listeningPort)",
                "engine": "\(wal.engine.kind.rawValue)",
                "mode": "\(wal.engine.mode.rawValue)",
                "reason": "\(wal.engine.reason)",
                "recovery": "\(wal.recovery.summary)",
                "recovery_ms": "\((wal.recovery.microseconds + 500) / 1000)",
                "data_dir": "\(configuration.store.wal.directory)",
            ])
        if let position = wal.recovery.tornPosition {
            logger.warning(
                "a torn batch, never acknowledged, was cut from the end of the log",
                metadata: [
                    "position": "\(position.rawValue)", "bytes": "\(wal.recovery.tornBytes)",
                    "saved_to": "\(wal.recovery.savedTo.joined(separator: " "))",
                ])
        }
        if !wal.recovery.ignoredCheckpoints.isEmpty {
            logger.warning(
                "unreadable checkpoints were ignored",
                metadata: ["files": "\(wal.recovery.ignoredCheckpoints.joined(separator: " "))"])
        }
    }

    /// No more connections than the process may have descriptors for; nil, with a message, if that leaves none.
    private static func boundedByDescriptors(_ configuration: ServerConfiguration, _ logger: Logger)
        -> ServerConfiguration?
    {
        var bounded = configuration
        let limit = Int(clamping: clinux_raise_descriptor_limit())
        let reserved = ServiceLimits.reservedDescriptors + configuration.http.connectionsRefusedMax
        guard limit > reserved else {
            logger.error(
                "\(limit) open files are too few, at least \(reserved + 1) are needed: raise the limit (ulimit -Hn)")
            return nil
        }
        bounded.http.connectionsMax = min(configuration.http.connectionsMax, limit - reserved)
        return bounded
    }
}

/// SIGTERM and SIGINT, taken by whoever waits for them instead of interrupting anyone.
private struct StopSignals {
    private var set = sigset_t()

    /// Blocks them in the calling thread and in those that it starts afterwards.
    init() {
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGTERM)
        unsafe sigaddset(&set, SIGINT)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Returns when the next one arrives.
    func wait() {
        var waited = set
        var signal: Int32 = 0
        // Fails only for a set with an invalid signal.
        unsafe sigwait(&waited, &signal)
    }
}
