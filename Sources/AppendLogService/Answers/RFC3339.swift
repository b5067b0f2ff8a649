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
struct CivilDate: Equatable {
    let year: UInt64
    let month: UInt64
    let day: UInt64

    /// Nil for a day that there is not. From the year 0000 on.
    init?(year: UInt64, month: UInt64, day: UInt64) {
        guard (1...12).contains(month), day >= 1, day <= Self.days(inMonth: month, of: year) else { return nil }
        self.year = year
        self.month = month
        self.day = day
    }

    /// Days since 1970-01-01, negative before (days_from_civil, the inverse of what follows).
    var daysSince1970: Int64 {
        let yearFromMarch = Int64(year) - (month <= 2 ? 1 : 0)
        // The year 0000 begins in January: two of its months belong to the era before.
        let era = (yearFromMarch >= 0 ? yearFromMarch : yearFromMarch - 399) / 400
        let yearOfEra = yearFromMarch - era * 400
        let monthFromMarch = Int64(month > 2 ? month - 3 : month + 9)
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + Int64(day) - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func days(inMonth month: UInt64, of year: UInt64) -> UInt64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

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
