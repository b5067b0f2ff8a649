import LogFormat
import Testing

@testable import AppendLogService

@Suite struct JSONWriterTests {
    private func written(_ body: (inout JSONWriter) -> Void) -> String {
        var json = JSONWriter()
        body(&json)
        return String(decoding: json.bytes, as: UTF8.self)
    }

    @Test(arguments: [
        ("", #""""#), ("plain", #""plain""#), ("a\"b\\c/", #""a\"b\\c/""#), ("\n\r\t", #""\n\r\t""#),
        ("\0\u{1}\u{8}\u{B}\u{C}\u{1F}", #""\u0000\u0001\u0008\u000b\u000c\u001f""#),
        ("\u{7F}ü€😀\u{2028}", "\"\u{7F}ü€😀\u{2028}\""), ("\"", #""\"""#), ("a\"", #""a\"""#), ("\"a", #""\"a""#),
    ])
    func stringsAreEscapedWhereTheyMustBe(_ text: String, _ json: String) {
        #expect(written { $0.string(text) } == json)
        #expect(written { writer in Array(text.utf8).withUnsafeBytes { writer.string($0) } } == json)
    }

    @Test func everyControlCharacterIsEscaped() {
        for byte in UInt8(0)..<0x20 {
            let json = written { writer in [byte].withUnsafeBytes { writer.string($0) } }
            #expect(json.utf8.allSatisfy { $0 >= 0x20 } && json.hasPrefix("\"\\"))
        }
    }

    @Test(arguments: [
        (0, "0"), (7, "7"), (10, "10"), (1_234_567_890, "1234567890"), (UInt64.max, "18446744073709551615"),
    ])
    func numbersAreDecimal(_ value: UInt64, _ text: String) {
        #expect(written { $0.number(value) } == text)
        #expect(
            written {
                $0.literal("x")
                $0.number(value)
            } == "x" + text)
    }

    @Test(arguments: [
        (0, 1, "0.000"), (1, 0, "0.000"), (1, 2, "0.500"), (2, 3, "0.666"), (12_345, 1_000, "12.345"), (7, 7, "1.000"),
        (1_000_001, 1_000_000, "1.000"), (UInt64.max, UInt64.max, "1.000"), (UInt64.max - 1, UInt64.max, "0.999"),
        (UInt64.max, 1, "18446744073709551615.000"), (50, 1_000, "0.050"), (5, 1_000, "0.005"),
    ])
    func quotientsHaveThreePlacesAndDoNotOverflow(_ dividend: UInt64, _ divisor: UInt64, _ text: String) {
        #expect(written { $0.quotient(dividend, by: divisor) } == text)
    }

    @Test func booleansAndMembers() {
        #expect(written { $0.boolean(true) } == "true")
        #expect(written { $0.boolean(false) } == "false")
        #expect(written { $0.member("a", 5) } == #""a":5"#)
    }

    @Test func whatWasWrittenIsForgottenWhole() {
        var json = JSONWriter()
        json.literal("abc")
        json.removeAll()
        json.number(1 as UInt64)
        #expect(json.bytes == Array("1".utf8))
    }

    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64HasTheValuesOfItsSpecification(_ text: String, _ encoded: String) {
        #expect(written { writer in Array(text.utf8).withUnsafeBytes { writer.base64($0) } } == "\"\(encoded)\"")
    }

    @Test func base64UsesEveryDigit() {
        // The numbers 0...63 in six bits each.
        var bits: [UInt8] = []
        for group in stride(from: UInt32(0), to: 64, by: 4) {
            let value = group << 18 | (group + 1) << 12 | (group + 2) << 6 | (group + 3)
            bits += [UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
        }
        let text = written { writer in bits.withUnsafeBytes { writer.base64($0) } }
        #expect(text == "\"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\"")
    }

    @Test(
        arguments: [
            [], [0x61], [0], [0x7F], [0xC3, 0xBC], [0xE2, 0x82, 0xAC], [0xF0, 0x9F, 0x98, 0x80],
            [0xF4, 0x8F, 0xBF, 0xBF],
            [0xED, 0x9F, 0xBF], [0xEE, 0x80, 0x80],
        ] as [[UInt8]])
    func whatIsUTF8IsText(_ bytes: [UInt8]) {
        #expect(bytes.withUnsafeBytes { UTF8Text.isValid($0) })
    }

    @Test(
        arguments: [
            [0x80], [0xFF], [0xC3], [0x61, 0xC3], [0xC0, 0xAF], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80],
            [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xE2, 0x82],
            [0xE2, 0x28, 0xA1], [0x61, 0x62, 0xFE],
        ] as [[UInt8]])
    func whatIsNotUTF8IsNoText(_ bytes: [UInt8]) {
        #expect(!bytes.withUnsafeBytes { UTF8Text.isValid($0) })
    }
}
