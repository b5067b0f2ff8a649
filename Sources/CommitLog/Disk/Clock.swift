import Glibc
import LogFormat

/// The two clocks of a log. A protocol, so that the simulator can stand in a clock of its own.
public protocol LogClock: AnyObject {
    /// Microseconds that only go forward; for latencies and deadlines.
    var monotonicMicroseconds: Int64 { get }
    /// The time of day; it may jump.
    var now: Timestamp { get }
}

/// The kernel's clocks.
public final class SystemClock: LogClock {
    public init() {}

    public var monotonicMicroseconds: Int64 { Self.read(CLOCK_MONOTONIC) }
    public var now: Timestamp { Timestamp(rawValue: UInt64(max(0, Self.read(CLOCK_REALTIME)))) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        unsafe _ = clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }
}
