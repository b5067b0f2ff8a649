import LogStore
import Testing

@testable import AppendLogService

@Suite struct LogSettingsTests {
    private func read<Result>(_ text: String, _ body: (JSONValue) throws(InvalidBody) -> Result) throws -> Result {
        let parser = JSONParser()
        return try Array(text.utf8).withUnsafeBytes { try parser.parse($0, body) }
    }

    private func settings(_ text: String) throws -> LogSettings {
        try read(text) { root throws(InvalidBody) in try LogSettings(root) }
    }

    private let full = LogSettings(
        contentType: Array("text/plain; charset=utf-8".utf8), retention: Retention(ageSeconds: 1, bytes: 2, records: 3),
        appendsPerSecondMax: 4)

    @Test func whatIsNotThereIsNotSet() throws {
        #expect(try settings("{}") == LogSettings())
        #expect(try settings(#"{"content_type":null,"retention":null,"appends_per_second_max":null}"#) == LogSettings())
        #expect(try settings(#"{"retention":{"bytes":5}}"#) == LogSettings(retention: Retention(bytes: 5)))
        let text =
            #"{"content_type":"text/plain; charset=utf-8","retention":{"age_seconds":1,"bytes":2,"records":3},"appends_per_second_max":4}"#
        #expect(try settings(text) == full)
    }

    @Test func aPatchChangesWhatItNames() throws {
        var patched = full
        try read(#"{"retention":{"bytes":9,"age_seconds":null}}"#) { root throws(InvalidBody) in try patched.merge(root)
        }
        #expect(patched.retention == Retention(ageSeconds: nil, bytes: 9, records: 3))
        #expect(patched.contentType == full.contentType)
        try read(#"{"retention":null,"content_type":null,"appends_per_second_max":null}"#) { root throws(InvalidBody) in
            try patched.merge(root)
        }
        #expect(patched == LogSettings())
    }

    @Test(arguments: [
        "[]", #"{"retention":1}"#, #"{"retention":{"age":1}}"#, #"{"retention":{"bytes":0}}"#,
        #"{"retention":{"bytes":-1}}"#,
        #"{"retention":{"bytes":1.5}}"#, #"{"retention":{"bytes":"1"}}"#,
        #"{"retention":{"records":9223372036854775808}}"#,
        #"{"retention":{"age_seconds":31557600001}}"#, #"{"appends_per_second_max":0}"#,
        #"{"appends_per_second_max":1000001}"#,
        #"{"content_type":""}"#, #"{"content_type":" a"}"#, #"{"content_type":"a\nb"}"#, #"{"content_type":"é"}"#,
        #"{"content_type":1}"#, #"{"name":"a"}"#,
    ])
    func settingsThatMakeNoSenseAreRefused(_ text: String) {
        #expect(throws: InvalidBody.self) { try settings(text) }
    }

    @Test func settingsAreShownAsTheyAreGiven() throws {
        var json = JSONWriter()
        json.settings(full)
        #expect(
            String(decoding: json.bytes, as: UTF8.self)
                == #","content_type":"text/plain; charset=utf-8","retention":{"age_seconds":1,"bytes":2,"records":3},"#
                + #""appends_per_second_max":4"#)
        let text = "{" + String(decoding: json.bytes, as: UTF8.self).dropFirst() + "}"
        #expect(try settings(text) == full)
        json.removeAll()
        json.settings(LogSettings())
        #expect(
            String(decoding: json.bytes, as: UTF8.self)
                == #","content_type":null,"retention":{"age_seconds":null,"bytes":null,"records":null},"appends_per_second_max":null"#
        )
    }
}
