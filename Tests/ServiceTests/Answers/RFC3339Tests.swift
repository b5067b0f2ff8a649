import LogFormat
import Testing

@testable import AppendLogService

@Suite struct RFC3339Tests {
    private func text(_ microseconds: UInt64) -> String {
        var bytes: [UInt8] = []
        RFC3339.append(Timestamp(rawValue: microseconds), to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Seconds since 1970 as `date -u +%s -d` gives them.
    @Test(arguments: [
        (0, "1970-01-01T00:00:00"), (1, "1970-01-01T00:00:01"), (86_399, "1970-01-01T23:59:59"),
        (86_400, "1970-01-02T00:00:00"), (5_097_599, "1970-02-28T23:59:59"), (5_097_600, "1970-03-01T00:00:00"),
        (31_535_999, "1970-12-31T23:59:59"), (31_536_000, "1971-01-01T00:00:00"), (68_169_599, "1972-02-28T23:59:59"),
        (68_169_600, "1972-02-29T00:00:00"), (68_256_000, "1972-03-01T00:00:00"), (946_684_799, "1999-12-31T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"), (951_868_800, "2000-03-01T00:00:00"),
        (1_000_000_000, "2001-09-09T01:46:40"),
        (1_709_164_800, "2024-02-29T00:00:00"), (1_795_385_103, "2026-11-22T22:05:03"),
        (2_147_483_648, "2038-01-19T03:14:08"), (4_102_444_800, "2100-01-01T00:00:00"),
        (4_107_542_399, "2100-02-28T23:59:59"), (4_107_542_400, "2100-03-01T00:00:00"),
        (13_574_563_200, "2400-02-29T00:00:00"), (253_402_300_799, "9999-12-31T23:59:59"),
    ])
    func secondsAreTheirDate(_ seconds: UInt64, _ date: String) {
        #expect(text(seconds * 1_000_000) == date + ".000000Z")
    }

    @Test(arguments: [(0, "000000"), (1, "000001"), (123_456, "123456"), (999_999, "999999"), (50_000, "050000")])
    func microsecondsHaveSixDigits(_ microseconds: UInt64, _ digits: String) {
        #expect(text(microseconds) == "1970-01-01T00:00:00.\(digits)Z")
    }

    @Test func theLargestTimestampHasAText() {
        #expect(text(.max).hasSuffix("Z"))
        #expect(text(.max).count > RFC3339.byteCount)
    }

    /// Walks a calendar of its own, one day after the other.
    @Test func everyDayOfEightHundredYearsFollowsTheOneBefore() {
        var (year, month, day) = (1970, 1, 1)
        for number in UInt64(0)..<292_194 {
            let expected = [year / 1000, year / 100 % 10, year / 10 % 10, year % 10].map(String.init).joined()
            let date = text(number * 86_400_000_000)
            #expect(date.hasPrefix("\(expected)-\(month < 10 ? "0" : "")\(month)-\(day < 10 ? "0" : "")\(day)T00"))
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
            day += 1
            if day > days { (day, month) = (1, month + 1) }
            if month > 12 { (month, year) = (1, year + 1) }
        }
    }

    @Test func atATimeOfDayEachPartStandsInItsPlace() {
        #expect(text(((13 * 60 + 7) * 60 + 9) * 1_000_000 + 42) == "1970-01-01T13:07:09.000042Z")
    }
}
