/// SplitMix64: the same seed gives the same run again.
struct Seed {
    private var state: UInt64

    init(_ value: UInt64) { state = value }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

    /// True once in so many times; never for 0.
    mutating func once(in times: Int) -> Bool { times > 0 && below(times) == 0 }

    mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }

    /// A seed of its own, so that one part's draws do not shift another's.
    mutating func branch() -> Seed { Seed(next()) }
}
