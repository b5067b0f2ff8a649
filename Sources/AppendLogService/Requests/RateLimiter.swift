import LogFormat

/// Token buckets of the logs that have a rate limit: each holds one second's worth, and fills all the time.
struct RateLimiter {
    private struct Bucket {
        /// Millionths of an append that may be taken.
        var level: UInt64
        /// Monotonic microseconds at which it was.
        var at: Int64
    }

    private var buckets: [LogID: Bucket] = [:]

    /// Logs that are remembered.
    var logCount: Int { buckets.count }

    /// Takes `count` appends of a log that allows `perSecond`; false, with nothing taken, if so many are not there. A count
    /// above one second's worth is never there.
    mutating func take(_ count: Int, of log: LogID, perSecond: UInt64, nowMicroseconds now: Int64) -> Bool {
        let full = perSecond * 1_000_000
        var bucket = buckets[log] ?? Bucket(level: full, at: now)
        // One second fills any bucket.
        let elapsed = UInt64(min(max(0, now - bucket.at), 1_000_000))
        bucket.level = min(full, bucket.level + elapsed * perSecond)
        bucket.at = max(now, bucket.at)
        let wanted = UInt64(count) * 1_000_000
        let isThere = bucket.level >= wanted
        if isThere { bucket.level -= wanted }
        if buckets.count >= ServiceLimits.rateBucketsMax, buckets[log] == nil { forgetFull(now) }
        buckets[log] = bucket
        return isThere
    }

    /// Forgets the buckets that nobody took from for a second: they are full, as new ones are.
    private mutating func forgetFull(_ now: Int64) {
        buckets = buckets.filter { now - $0.value.at < 1_000_000 }
    }
}
