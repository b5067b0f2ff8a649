import LogFormat
import Logging
import Testing

@testable import AppendLogService

@Suite struct LogLineTests {
    private func line(_ format: LogLineFormat, _ message: String, _ fields: Logger.Metadata) -> String {
        String(
            decoding: LineLogHandler.line(format, Timestamp(rawValue: 0), .warning, message, fields), as: UTF8.self)
    }

    @Test func aTextLineQuotesWhatCouldBeMistaken() {
        #expect(
            line(.text, "it is so", ["b": "two words", "a": "plain", "c": "", "d": "say \"x\"\n"])
                == "1970-01-01T00:00:00.000000Z warning it is so a=plain b=\"two words\" c=\"\" d=\"say \\\"x\\\"\\n\"\n"
        )
    }

    @Test func aJSONLineIsOneObject() {
        #expect(
            line(.json, "it is \"so\"", ["b": "2", "a": "1"])
                == #"{"timestamp":"1970-01-01T00:00:00.000000Z","level":"warning","message":"it is \"so\"","a":"1","b":"2"}"#
                + "\n")
    }

    @Test func theFieldsOfTheFirstLineStandInTheirOrder() {
        let text = line(
            .text, "appendlog",
            ["data_dir": "d", "zebra": "z", "engine": "e", "listening": "l", "mode": "m", "ant": "a"])
        #expect(text.hasSuffix("appendlog listening=l engine=e mode=m data_dir=d ant=a zebra=z\n"))
    }

    @Test func aMessageOfSeveralLinesBecomesOne() {
        let text = line(.text, "one\ntwo\r\nthree", [:])
        #expect(text.hasSuffix("one two three\n"))
        #expect(text.filter { $0.isNewline }.count == 1)
    }

    @Test func metadataOfTheLoggerIsKeptAndOverridden() {
        var handler = LineLogHandler(.text, level: .info)
        handler[metadataKey: "a"] = "1"
        #expect(handler[metadataKey: "a"] == "1")
        #expect(handler.metadata == ["a": "1"])
        #expect(handler.logLevel == .info)
    }
}
