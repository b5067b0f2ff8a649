/// How often surplus connections are told that they are: clients that come again at once must not take the time of those who are
/// served. A bucket of tokens that time fills.
struct SurplusRefusals {
    /// A millionth of a token each: a second's time gives tokens without rounding.
    private var parts = HTTPLimits.surplusRefusalsAtOnce * 1_000_000
    private var filledAt: UInt64 = 0

    /// Takes one; false if none is left. `now` is in microseconds and never goes back.
    mutating func take(now: UInt64) -> Bool {
        let most = HTTPLimits.surplusRefusalsAtOnce * 1_000_000
        // Beyond a second it is full, and the product could be too large.
        let passed = min(now - min(filledAt, now), 1_000_000)
        parts = min(most, parts + passed * HTTPLimits.surplusRefusalsPerSecond)
        filledAt = now
        guard parts >= 1_000_000 else { return false }
        parts -= 1_000_000
        return true
    }
}
