extension [UInt8] {
    /// Appends a number in decimal digits, with leading zeros up to `digitCountMin`. Allocates nothing if there is room:
    /// the digits are set in their places, because a slice of an array that is changed is a copy.
    mutating func appendDecimal(_ value: UInt64, digitCountMin: Int = 1) {
        var digitCount = 1
        var rest = value
        while rest >= 10 {
            rest /= 10
            digitCount += 1
        }
        for _ in 0..<Swift.max(digitCount, digitCountMin) { append(UInt8(ascii: "0")) }
        var place = count - 1
        rest = value
        while rest > 0 {
            self[place] += UInt8(rest % 10)
            rest /= 10
            place -= 1
        }
    }
}
