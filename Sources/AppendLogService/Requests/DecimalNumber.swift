/// Numbers in requests: decimal digits and nothing else, no sign, no space.
enum DecimalNumber {
    /// The number that all the bytes are; nil for anything else and beyond 64 bits.
    static func parse(_ bytes: some Sequence<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var hasDigits = false
        for byte in bytes {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let (product, overflowsTimes) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowsPlus) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !overflowsTimes, !overflowsPlus else { return nil }
            value = sum
            hasDigits = true
        }
        return hasDigits ? value : nil
    }
}
