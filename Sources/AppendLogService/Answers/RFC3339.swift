import LogFormat

/// Times as text: `2026-11-22T22:05:03.123456Z` (RFC 3339, UTC, microseconds).
enum RFC3339 {
    /// Bytes of every such text before the year 10000.
    static let byteCount = 27

    /// Appends a time. Allocates nothing if there is room. Years beyond 9999 have more digits.
    static func append(_ time: Timestamp, to output: inout [UInt8]) {
        let (seconds, microseconds) = time.rawValue.quotientAndRemainder(dividingBy: 1_000_000)
        let (days, secondOfDay) = seconds.quotientAndRemainder(dividingBy: 86_400)
        let date = CivilDate(daysSince1970: days)
        output.appendDecimal(date.year, digitCountMin: 4)
        output.append(UInt8(ascii: "-"))
        output.appendDecimal(date.month, digitCountMin: 2)
        output.append(UInt8(ascii: "-"))
        output.appendDecimal(date.day, digitCountMin: 2)
        output.append(UInt8(ascii: "T"))
        output.appendDecimal(secondOfDay / 3_600, digitCountMin: 2)
        output.append(UInt8(ascii: ":"))
        output.appendDecimal(secondOfDay / 60 % 60, digitCountMin: 2)
        output.append(UInt8(ascii: ":"))
        output.appendDecimal(secondOfDay % 60, digitCountMin: 2)
        output.append(UInt8(ascii: "."))
        output.appendDecimal(microseconds, digitCountMin: 6)
        output.append(UInt8(ascii: "Z"))
    }
}

/// A day of the Gregorian calendar.
private struct CivilDate {
    let year: UInt64
    let month: UInt64
    let day: UInt64

    /// Counts in years that begin on 1 March, so that the leap day is the last of its year, and in the 400 years after
    /// which the calendar repeats (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
    init(daysSince1970: UInt64) {
        let daysSinceMarch0 = daysSince1970 + 719_468
        let era = daysSinceMarch0 / 146_097
        let dayOfEra = daysSinceMarch0 % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }
}

extension JSONWriter {
    /// Writes a time as a string, quotes included.
    mutating func time(_ time: Timestamp) {
        literal("\"")
        rawTime(time)
        literal("\"")
    }
}
