import Testing

@testable import CommitLog

/// One way of writing.
struct EngineCase: Sendable, Codable, Equatable, CustomTestStringConvertible {
    private let engineName: String
    private let modeName: String

    var engine: EngineChoice { EngineChoice(rawValue: engineName)! }
    var mode: ModeChoice { ModeChoice(rawValue: modeName)! }
    var testDescription: String { "\(engineName) \(modeName)" }

    private init(_ engine: EngineChoice, _ mode: ModeChoice) {
        engineName = engine.rawValue
        modeName = mode.rawValue
    }

    static let all = [
        EngineCase(.ioURing, .direct), EngineCase(.ioURing, .buffered),
        EngineCase(.syscalls, .direct), EngineCase(.syscalls, .buffered),
    ]
    static let direct = all.filter { $0.mode == .direct }
    static let buffered = all.filter { $0.mode == .buffered }

    func configuration(_ directory: ScratchDirectory) -> CommitLogConfiguration {
        var configuration = DrivenLog.configuration(directory)
        configuration.engine = engine
        configuration.mode = mode
        return configuration
    }

    /// Opens a log this way; where the machine does not allow it, the test is cancelled and says why.
    func open(
        _ directory: ScratchDirectory, fileSystem: any FileSystem = PosixFileSystem(),
        decorate: @escaping (any LogDevice) -> any LogDevice = { $0 }
    ) throws -> DrivenLog {
        do {
            let log = try DrivenLog(configuration(directory), fileSystem: fileSystem, decorate: decorate)
            #expect(log.log.engine.kind.rawValue == engineName)
            #expect(log.log.engine.mode.rawValue == modeName)
            return log
        } catch CommitLogError.engine(let reason) {
            print("skipped \(testDescription): \(reason)")
            try Test.cancel("\(testDescription): \(reason)")
        }
    }
}
