import LogFormat

extension RFC3339 {
    /// The time that a text says (RFC 3339, 5.6): a date, `T`, a time of day, any number of decimal places, and `Z` or an offset
    /// such as `+02:00`. Nil for anything else, for a day that there is not, and for a leap second, which the clock of the
    /// records does not know. A part of a microsecond counts as a whole one, so that no record before the time is as late as
    /// it. What lies before 1970 is 1970.
    static func parse(_ text: some Collection<UInt8>) -> Timestamp? {
        var rest = TimeTextReader(rest: Array(text)[...])
        guard let year = rest.number(digits: 4), rest.takes("-"), let month = rest.number(digits: 2), rest.takes("-"),
            let day = rest.number(digits: 2), let date = CivilDate(year: year, month: month, day: day),
            rest.takes("T") || rest.takes("t"), let hour = rest.number(digits: 2), hour < 24, rest.takes(":"),
            let minute = rest.number(digits: 2), minute < 60, rest.takes(":"), let second = rest.number(digits: 2),
            second < 60, let microseconds = rest.fraction(), let zone = rest.zoneSeconds(), rest.isAtEnd
        else { return nil }
        let seconds = date.daysSince1970 * 86_400 + Int64(hour * 3_600 + minute * 60 + second) - zone
        return Timestamp(rawValue: UInt64(max(0, seconds * 1_000_000 + microseconds)))
    }
}

/// Takes a time apart from its front.
private struct TimeTextReader {
    var rest: ArraySlice<UInt8>

    var isAtEnd: Bool { rest.isEmpty }

    /// Exactly so many digits.
    mutating func number(digits: Int) -> UInt64? {
        guard rest.count >= digits, let number = DecimalNumber.parse(rest.prefix(digits)) else { return nil }
        rest.removeFirst(digits)
        return number
    }

    mutating func takes(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    /// The microseconds of a fraction, rounded up; 0 if there is none; nil for a point without digits.
    mutating func fraction() -> Int64? {
        guard takes(".") else { return 0 }
        let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard !digits.isEmpty else { return nil }
        rest.removeFirst(digits.count)
        var microseconds: Int64 = 0
        for place in 0..<6 {
            let digit = place < digits.count ? digits[digits.startIndex + place] - UInt8(ascii: "0") : 0
            microseconds = microseconds * 10 + Int64(digit)
        }
        let hasMore = digits.dropFirst(6).contains { $0 != UInt8(ascii: "0") }
        return microseconds + (hasMore ? 1 : 0)
    }

    /// Seconds that the zone is ahead of UTC.
    mutating func zoneSeconds() -> Int64? {
        if takes("Z") || takes("z") { return 0 }
        let isAhead = takes("+")
        guard isAhead || takes("-"), let hours = number(digits: 2), hours < 24, takes(":"),
            let minutes = number(digits: 2), minutes < 60
        else { return nil }
        let seconds = Int64(hours * 3_600 + minutes * 60)
        return isAhead ? seconds : -seconds
    }
}
