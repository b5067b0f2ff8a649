import LogFormat

@testable import CommitLog

/// A clock that stands still until it is told to go on.
final class TestClock: LogClock {
    var monotonicMicroseconds: Int64 = 5_000_000
    var now = Timestamp(rawValue: 1_700_000_000_000_000)

    func advance(microseconds: Int64) {
        monotonicMicroseconds += microseconds
    }
}
