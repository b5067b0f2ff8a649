import AppendLogService
import ArgumentParser
import Glibc
import HTTPFrontEnd
import Testing

@testable import appendlog

@Suite struct CommandLineTests {
    @Test(arguments: [("1", 1), ("4096", 4_096), ("1KiB", 1_024), ("64MiB", 67_108_864)])
    func sizesAreBytesOrHaveAUnit(_ text: String, _ bytes: Int) {
        #expect(ByteSize(argument: text)?.bytes == bytes)
    }

    @Test(arguments: ["", "0", "-1", "+1", "1.5", "1k", "1KB", "KiB", "1 KiB", "9223372036854775807KiB", "0MiB", "x"])
    func whatIsNoSizeIsRefused(_ text: String) {
        #expect(ByteSize(argument: text) == nil)
    }

    @Test func numbersHaveTheirLowestValue() {
        #expect(NaturalNumber(argument: "0")?.value == 0)
        #expect(NaturalNumber(argument: "-1") == nil)
        #expect(PositiveNumber(argument: "1")?.value == 1)
        #expect(PositiveNumber(argument: "0") == nil)
        #expect(Choice(argument: "true")?.isTrue == true)
        #expect(Choice(argument: "false")?.isTrue == false)
        #expect(Choice(argument: "yes") == nil)
        #expect(LogLevel(argument: "debug")?.level == .debug)
        #expect(LogLevel(argument: "loud") == nil)
    }

    /// One test, because the environment is one for all.
    @Test func aFlagWinsOverItsVariableAndAVariableOverTheDefault() throws {
        let name = "commandline-test"
        #expect(EnvironmentVariable.variable(for: name) == "APPENDLOG_COMMANDLINE_TEST")
        func value(_ flag: PositiveNumber?) throws -> Int {
            try EnvironmentVariable.value(
                of: name, flag: flag, expecting: "a number from 1 on", default: PositiveNumber(3)
            ).value
        }
        unsetenv("APPENDLOG_COMMANDLINE_TEST")
        #expect(try value(nil) == 3)
        setenv("APPENDLOG_COMMANDLINE_TEST", "2", 1)
        defer { unsetenv("APPENDLOG_COMMANDLINE_TEST") }
        #expect(try value(nil) == 2)
        #expect(try value(PositiveNumber(1)) == 1)
        setenv("APPENDLOG_COMMANDLINE_TEST", "zero", 1)
        let error = #expect(throws: ValidationError.self) { try value(nil) }
        #expect(error?.message.contains("APPENDLOG_COMMANDLINE_TEST is 'zero'; it must be a number from 1 on") == true)
    }

    @Test func theDefaultBatchHoldsTheLargestRequest() throws {
        let http = HTTPLimits()
        let needed = ServerConfiguration.batchBytesNeeded(
            bodyBytesMax: http.requestBodyBytesMax, recordsPerRequestMax: ServiceLimits.recordsPerRequestDefault)
        #expect(needed <= 1_572_864)
        #expect(needed > http.requestBodyBytesMax + 4 * ServiceLimits.recordsPerRequestDefault)
    }

    @Test(arguments: [
        ["serve", "--data-dir", "x", "--engine", "magic"], ["serve", "--data-dir", "x", "--no-such-flag"],
        ["serve", "--data-dir", "x", "--segment-bytes", "-1"], ["serve", "--data-dir"], ["nonsense"], ["verify"],
        ["dump"],
    ])
    func wrongArgumentsAreRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try AppendLog.parseAsRoot(arguments) }
    }

    @Test func everyFlagIsDescribedInTheHelp() {
        let help = AppendLog.helpMessage(for: Serve.self, columns: 200)
        let flags = help.split(separator: "\n  --").dropFirst()
        #expect(flags.count >= 20)
        for flag in flags {
            // The name, its value, and a sentence.
            #expect(flag.split { $0.isWhitespace }.count > 4, "\(flag)")
        }
        #expect(help.contains("--drain-deadline-seconds") && help.contains("APPENDLOG_DATA_DIR"))
        let names = flags.map { String($0.prefix { !$0.isWhitespace }) }.filter { $0 != "version" }
        #expect(Set(names) == Set(EnvironmentVariable.flags), "a flag without its variable, or the other way round")
    }

    @Test(arguments: [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)])
    func theDistanceOfNamesCountsLetters(_ one: String, _ other: String, _ distance: Int) {
        #expect(EnvironmentVariable.distance(one, other) == distance)
        #expect(EnvironmentVariable.distance(other, one) == distance)
    }

    @Test func numbersAreSmallEnoughToBeCountedInMicroseconds() {
        #expect(PositiveNumber(argument: "2147483648") != nil && PositiveNumber(argument: "2147483649") == nil)
        #expect(NaturalNumber(argument: "2147483649") == nil)
        #expect(ByteSize(argument: "281474976710657") == nil)
    }
}
