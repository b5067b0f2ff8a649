import LogFormat
import LogStore
import Testing

@testable import AppendLogService

@Suite struct AppendRequestTests {
    @Test(arguments: [
        ("\"0\"", AppendCondition.next(.zero, log: nil)), ("\"42\"", .next(RecordOffset(rawValue: 42), log: nil)),
        ("\"7.42\"", .next(RecordOffset(rawValue: 42), log: LogID(rawValue: 7))),
        ("\"18446744073709551615\"", .next(RecordOffset(rawValue: .max), log: nil)),
    ])
    func aTagIsTheNextOffset(_ text: String, _ condition: AppendCondition) {
        #expect(Array(text.utf8).withUnsafeBytes { AppendCondition(entityTag: $0) } == condition)
    }

    @Test(arguments: [
        "", "\"", "\"\"", "42", "*", "W/\"42\"", "\"42", "42\"", "\"x\"", "\"-1\"", "\"+1\"", "\" 1\"", "\"1 \"",
        "\"1.\"", "\".1\"",
        "\"1.2.3\"", "\"1\", \"2\"", "\"18446744073709551616\"", "\"1\"\"", "'1'",
    ])
    func anyOtherTagIsNone(_ text: String) {
        #expect(Array(text.utf8).withUnsafeBytes { AppendCondition(entityTag: $0) } == nil)
    }

    @Test func namesOfProducersAndKeysAreVisibleASCII() {
        let isName = { (text: String) in Array(text.utf8).withUnsafeBytes { AppendHeaders.isName($0) } }
        #expect(isName("a") && isName("\"quoted\"") && isName(String(repeating: "~", count: 128)) && isName("!"))
        #expect(!isName("") && !isName("a b") && !isName("é") && !isName("\u{7F}") && !isName("\t"))
        #expect(!isName(String(repeating: "a", count: 129)))
    }

    @Test func aRateIsOneSecondsWorthAndFillsAgain() {
        var rates = RateLimiter()
        func takes(_ count: Int, at now: Int64) -> Bool {
            rates.take(count, of: LogID(rawValue: 1), perSecond: 10, nowMicroseconds: now)
        }
        for _ in 0..<10 { #expect(takes(1, at: 0)) }
        #expect(!takes(1, at: 0))
        #expect(!takes(1, at: 99_999))
        #expect(takes(1, at: 100_000))
        #expect(!takes(1, at: 100_000))
        #expect(!takes(11, at: 10_000_000))
        #expect(takes(10, at: 10_000_000))
        #expect(!takes(1, at: 10_050_000))
        // A clock that went back gives nothing.
        #expect(!takes(1, at: 0))
        #expect(takes(1, at: 10_100_000))
        let isTaken = rates.take(1, of: LogID(rawValue: 2), perSecond: 1, nowMicroseconds: 0)
        #expect(isTaken)
    }

    @Test func idleRatesAreForgottenAndBusyOnesAreNot() {
        var rates = RateLimiter()
        func takes(_ id: UInt64, at now: Int64) -> Bool {
            rates.take(1, of: LogID(rawValue: id), perSecond: 1, nowMicroseconds: now)
        }
        for id in 0..<UInt64(ServiceLimits.rateBucketsMax) { #expect(takes(id, at: id < 5 ? 0 : 1_500_000)) }
        #expect(takes(999_999, at: 1_600_000))
        #expect(!takes(7, at: 1_600_000))
        #expect(rates.logCount == ServiceLimits.rateBucketsMax - 4)
    }
}
