import Testing

@testable import AppendLogService

@Suite struct JSONParserTests {
    private func parse<Result>(
        _ text: String, _ body: (JSONValue) throws(InvalidBody) -> Result
    ) throws -> Result {
        try parse(bytes: Array(text.utf8), body)
    }

    private func parse<Result>(
        bytes: [UInt8], _ body: (JSONValue) throws(InvalidBody) -> Result
    ) throws -> Result {
        let parser = JSONParser()
        return try bytes.withUnsafeBytes { try parser.parse($0, body) }
    }

    @Test(arguments: [
        "", " ", "{", "}", "{]", "[1,]", "{\"a\":}", "{\"a\" 1}", "{'a':1}", "{a:1}", "nul", "[1] [2]", "{}x",
        "\u{FEFF}{}",
        "\"a", "\"\\x\"", "\"\u{1}\"", "[01]", "[+1]", "[.5]", "[1.]", "[1e]", "[NaN]", "[Infinity]", "// a\n{}",
        "[18446744073709551616]",
    ])
    func whatIsNotJSONIsRefused(_ text: String) {
        #expect(throws: InvalidBody.self) { try parse(text) { _ in } }
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        for bytes: [UInt8] in [[0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0xFF]] {
            #expect(throws: InvalidBody.self) { try parse(bytes: bytes) { _ in } }
        }
    }

    @Test func deepNestingIsRefusedAndDoesNoHarm() {
        let text = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(throws: InvalidBody.self) { try parse(text) { _ in } }
    }

    @Test(arguments: [
        ("\"\"", ""), ("\"a\"", "a"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u00e9\ud83d\ude00""#, "é😀"),
        (#""a\u0000b""#, "a\0b"), ("\"é😀\"", "é😀"),
    ])
    func stringsAreUnescaped(_ text: String, _ value: String) throws {
        try parse(text) { root in
            #expect(root.string.map { Array($0) } == Array(value.utf8))
        }
    }

    @Test(arguments: [#""\ud800""#, #""\ud800x""#, #""\ud800\u0041""#, #""\udc00""#, #""\udc00\ud800""#])
    func halfASurrogatePairIsNoString(_ text: String) throws {
        // Whether the parser or the value refuses it does not matter.
        let isString = (try? parse(text) { $0.string != nil }) ?? false
        #expect(!isString)
    }

    @Test(
        arguments: [
            ("0", 0), ("7", 7), ("9223372036854775807", 9_223_372_036_854_775_807), ("9223372036854775808", 1 << 63),
            ("18446744073709551615", UInt64.max), ("1.0", 1), ("1e3", 1_000), ("9007199254740992.0", 1 << 53),
            ("9007199254740994.0", nil), ("-0.0", 0), ("-1", nil), ("1.5", nil), ("1e300", nil), ("1e-300", nil),
            ("-1.0", nil), ("\"1\"", nil),
            ("true", nil),
            ("null", nil), ("[]", nil),
        ] as [(String, UInt64?)])
    func onlyWholeNumbersAreUnsigned(_ text: String, _ value: UInt64?) throws {
        #expect(try parse(text) { $0.unsigned } == value)
    }

    @Test func aWalkSeesEachElementOnce() throws {
        let seen = try parse(#"[1,[2,3],{"a":4},"x",5]"#) { root in
            var elements = root.elements
            var seen: [String] = []
            while let element = elements.next() {
                let value = element.value
                seen.append(
                    value.isArray ? "array" : value.isObject ? "object" : value.unsigned.map(String.init) ?? "text")
            }
            return seen
        }
        #expect(seen == ["1", "array", "object", "text", "5"])
        for text in ["7", "{}", "[]", "null"] {
            let isEmpty = try parse(text) { root in
                var elements = root.elements
                return elements.next() == nil
            }
            #expect(isEmpty, "\(text)")
        }
    }

    @Test(
        arguments: [
            (#"{"a":1,"b":2}"#, nil), (#"{"b":null}"#, nil), ("{}", nil), ("[]", "must be a JSON object"),
            ("1", "must be a JSON object"),
            ("null", "must be a JSON object"), (#"{"c":1}"#, "no member 'c'"), (#"{"":1}"#, "no member ''"),
            (#"{"a":1,"a":1}"#, "'a' more than once"), (#"{"a":1,"\u0061":1}"#, "'a' more than once"),
            (#"{"a":null,"a":1}"#, "'a' more than once"),
        ] as [(String, String?)])
    func membersAreKnownAndThereOnce(_ text: String, _ complaint: String?) throws {
        do {
            try parse(text) { root throws(InvalidBody) in _ = try JSONMembers(root, of: "It", names: ["a", "b"]) }
            #expect(complaint == nil)
        } catch let error as InvalidBody {
            #expect(error.detail.contains(complaint ?? "nothing"))
        }
    }

    @Test func aLargeTextAndASmallOneBehindItAreRead() throws {
        let parser = JSONParser()
        let large = Array(("[" + String(repeating: "1,", count: 200_000) + "1]").utf8)
        for text in [large, Array("[1]".utf8), large, Array("[1,2]".utf8)] {
            let count = try text.withUnsafeBytes { bytes in
                try parser.parse(bytes) { root in
                    var elements = root.elements
                    var count = 0
                    while elements.next() != nil { count += 1 }
                    return count
                }
            }
            #expect(count == text.filter { $0 == UInt8(ascii: ",") }.count + 1)
        }
    }
}
