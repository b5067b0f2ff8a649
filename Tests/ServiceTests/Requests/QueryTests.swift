import LogFormat
import Testing

@testable import AppendLogService

@Suite struct QueryTests {
    @Test(arguments: [
        ("0", 0), ("7", 7), ("007", 7), ("18446744073709551615", UInt64.max), ("00018446744073709551615", UInt64.max),
    ])
    func digitsAreANumber(_ text: String, _ value: UInt64) {
        #expect(DecimalNumber.parse(text.utf8) == value)
    }

    @Test(arguments: [
        "", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "x", "18446744073709551616", "18446744073709551625",
        "99999999999999999999", "184467440737095516150", "1_000", "１",
    ])
    func anythingElseIsNone(_ text: String) {
        #expect(DecimalNumber.parse(text.utf8) == nil)
    }

    @Test func valuesAreDecodedAndNamesAreNot() throws {
        let query = try Query(Array("from=%31%32&limit=&bytes=a+b%2B%ff".utf8), names: ["from", "limit", "bytes"])
        #expect(query.value(of: "from") == Array("12".utf8))
        #expect(query.value(of: "limit") == [])
        #expect(query.value(of: "bytes") == Array("a+b+".utf8) + [0xFF])
        #expect(throws: QueryError.unknown(Array("%66rom".utf8))) {
            try Query(Array("%66rom=1".utf8), names: ["from"])
        }
    }

    @Test func aParameterWithoutAValueIsThereAndEmpty() throws {
        let query = try Query(Array("from&limit=1=2".utf8), names: ["from", "limit"])
        #expect(query.value(of: "from") == [])
        #expect(query.value(of: "limit") == Array("1=2".utf8))
    }

    @Test(arguments: [
        ("x=1", QueryError.unknown(Array("x".utf8))), ("From=1", .unknown(Array("From".utf8))),
        ("=1", .unknown([])), ("&", .unknown([])), ("from=1&", .unknown([])), ("&from=1", .unknown([])),
        ("from=1&from=1", .repeated("from")), ("from&from", .repeated("from")),
        ("from=%", .badEncoding("from")), ("from=%1", .badEncoding("from")), ("from=%1g", .badEncoding("from")),
        ("from=%g1", .badEncoding("from")), ("from=1%", .badEncoding("from")),
    ])
    func whatIsNoQueryIsRefused(_ text: String, _ error: QueryError) {
        #expect(throws: error) { try Query(Array(text.utf8), names: ["from"]) }
    }

    @Test func aMissingNumberHasItsDefaultAndAWrongOneIsRefused() throws {
        let query = try Query(
            Array("low=1&high=9&empty=&word=x".utf8), names: ["low", "high", "empty", "word", "none"])
        #expect(try query.number("none", from: 2, through: 8, missing: 5) == 5)
        #expect(try query.number("low", from: 1, through: 9, missing: 5) == 1)
        #expect(try query.number("high", from: 1, through: 9, missing: 5) == 9)
        for name: StaticString in ["low", "high", "empty", "word"] {
            #expect(throws: QueryError.outOfRange(name, minimum: 2, maximum: 8)) {
                try query.number(name, from: 2, through: 8, missing: 5)
            }
        }
    }

    @Test func everyErrorNamesItsParameter() {
        let errors: [QueryError] = [
            .unknown(Array("it".utf8)), .repeated("it"), .badEncoding("it"), .outOfRange("it", minimum: 1, maximum: 2),
            .badName("it"), .badStart("it"),
        ]
        for error in errors { #expect(error.detail.contains("'it'")) }
        #expect(Set(errors.map(\.detail)).count == errors.count)
    }

    // MARK: Pages

    @Test func aPageOfRecordsHasItsDefaults() throws {
        let query = try RecordPageQuery([])
        #expect(query.from == .first && query.limit == 1_000 && query.bytes == 1_048_576)
        #expect(query.waitSeconds == 0 && query.logID == nil && query.kept == "")
    }

    @Test func aPageOfRecordsTakesItsLargestNumbersAndNoneBeyond() throws {
        let query = try RecordPageQuery(
            Array("bytes=4194304&limit=10000&from=18446744073709551615&wait=50&log_id=18446744073709551615".utf8))
        #expect(query.from == .offset(RecordOffset(rawValue: .max)) && query.limit == 10_000)
        #expect(query.bytes == 4_194_304 && query.waitSeconds == 50 && query.logID?.rawValue == .max)
        for text in [
            "limit=0", "limit=10001", "bytes=0", "bytes=4194305", "wait=51", "wait=-1", "wait=0.5", "wait=", "wait=1s",
            "log_id=0", "log_id=", "log_id=x", "log_id=18446744073709551616",
        ] {
            #expect(throws: QueryError.self) { try RecordPageQuery(Array(text.utf8)) }
        }
    }

    @Test func thePageBehindKeepsWhatWasSent() throws {
        let query = try RecordPageQuery(Array("wait=007&log_id=3&from=now&bytes=%35&limit=4".utf8))
        #expect(query.kept == "&limit=4&bytes=5&wait=7&log_id=3")
        #expect(try RecordPageQuery(Array("from=1&wait=0".utf8)).kept == "&wait=0")
    }

    @Test(arguments: [
        ("0", PageStart.offset(.zero)), ("007", .offset(RecordOffset(rawValue: 7))), ("first", .first), ("now", .now),
        ("-1", .last(1)), ("-010", .last(10)), ("-18446744073709551615", .last(.max)),
        ("1970-01-01T00:00:01Z", .time(Timestamp(rawValue: 1_000_000))),
        ("1970-01-01T02:00:01+02:00", .time(Timestamp(rawValue: 1_000_000))),
        ("1970-01-01T02:00:01%2B02:00", .time(Timestamp(rawValue: 1_000_000))),
    ])
    func aPageBeginsWhereFromSays(_ text: String, _ start: PageStart) throws {
        #expect(try RecordPageQuery(Array("from=\(text)".utf8)).from == start)
    }

    @Test(arguments: [
        "", "-", "-0", "--1", "-x", "+1", "First", "NOW", "first ", "last", "-18446744073709551616", "1.5", "0x1",
        "1970-01-01", "1970-01-01T00:00:60Z", "1970-01-01T00:00:00%2002:00", "tail", "-1-1", "-1970-01-01T00:00:00Z",
    ])
    func aPageBeginsNowhereElse(_ text: String) {
        #expect(throws: QueryError.badStart("from")) { try RecordPageQuery(Array("from=\(text)".utf8)) }
    }

    @Test func aPageOfLogsTakesNamesAndNothing() throws {
        let all = try LogPageQuery([], limitMax: 1_000)
        #expect(all.prefix == [] && all.after == nil && all.limit == 100)
        let some = try LogPageQuery(Array("prefix=a.&after=%61&limit=7".utf8), limitMax: 7)
        #expect(some.prefix == Array("a.".utf8) && some.after == Array("a".utf8) && some.limit == 7)
        let empty = try LogPageQuery(Array("prefix=&after=".utf8), limitMax: 7)
        #expect(empty.prefix == [] && empty.after == nil)
        #expect(throws: QueryError.outOfRange("limit", minimum: 1, maximum: 7)) {
            try LogPageQuery(Array("limit=8".utf8), limitMax: 7)
        }
        #expect(throws: QueryError.badName("prefix")) { try LogPageQuery(Array("prefix=a%2Fb".utf8), limitMax: 7) }
        #expect(throws: QueryError.badName("after")) { try LogPageQuery(Array("after=.a".utf8), limitMax: 7) }
    }
}
