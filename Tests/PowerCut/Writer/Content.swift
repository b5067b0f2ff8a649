/// What an append of a writer holds: it follows from the writer and the number, so that another program can tell it
/// (library.py does). Each record begins with its name.
struct Content {
    let writer: UInt64
    let number: UInt64

    private static let poolBytes = 128 << 10
    private static let sizes = [0, 20, 100, 100, 300, 2_000, 2_000, 12_000]
    private static let largeBytes = 60_000
    private static let pool = (0..<UInt64(poolBytes / 8)).flatMap { word in
        let mixed = mix(word)
        return (0..<8).map { UInt8(truncatingIfNeeded: mixed >> (8 * $0)) }
    }

    /// One record, or several that are a group.
    var records: [[UInt8]] {
        let chosen = draw(255)
        let count = chosen % 2 == 0 ? 1 : 2 + (chosen >> 8) % 5
        return (0..<count).map { index in
            let drawn = draw(index)
            let isLarge = (drawn >> 56) % 64 == 0
            let size = isLarge ? Self.largeBytes : Self.sizes[Int(drawn % UInt64(Self.sizes.count))]
            let start = Int((drawn >> 8) % UInt64(Self.poolBytes - size))
            return Array("\(writer)/\(number)/\(index)/\(count);".utf8) + Self.pool[start..<start + size]
        }
    }

    private func draw(_ index: UInt64) -> UInt64 { Self.mix(writer << 40 | number << 8 | index) }

    /// The finalizer of SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
