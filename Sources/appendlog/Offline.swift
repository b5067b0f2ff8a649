import AppendLogService
import ArgumentParser
import WriteAheadLog

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a data directory that no server has open, up to the first damage. Nothing is changed.",
        discussion: """
            Exit status 0: no damage, and a summary on standard output. 1: damage, with file and position on standard \
            error. 2: the directory could not be read, or is in use.
            """)

    @Argument(help: "The data directory.")
    var directory: String

    func run() throws {
        try Offline.reporting { () throws(WriteAheadLogError) in
            StandardOutput.write(try Verification(OfflineLog(path: directory)).summary)
            return true
        }
    }
}

struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the records of a data directory that no server has open, one JSON object a line.",
        discussion: """
            Records are printed as GET /v1/logs/LOG/records gives them; without --log each line also names its log. Exit \
            status as of verify; 2 also when there is no such log.
            """)

    @Argument(help: "The data directory.")
    var directory: String

    @Option(help: "Only this log.")
    var log: String?

    @Flag(help: "Print the frames of the write-ahead log instead: where each lies and what it says.")
    var frames = false

    func run() throws {
        let name = log.map { Array($0.utf8) }
        try Offline.reporting { () throws(WriteAheadLogError) in
            let offline = try OfflineLog(path: directory)
            let isThere =
                try frames
                ? LogDump.frames(offline, of: name) { StandardOutput.write($0) }
                : LogDump.records(offline, of: name) { StandardOutput.write($0) }
            if !isThere { StandardOutput.complain("there is no log named \(log ?? "")") }
            return isThere
        }
    }
}

/// The exit statuses of the commands that look at a data directory.
private enum Offline {
    /// Runs `body`, which returns false after it has complained itself.
    static func reporting(_ body: () throws(WriteAheadLogError) -> Bool) throws {
        let isComplete: Bool
        do throws(WriteAheadLogError) { isComplete = try body() } catch {
            StandardOutput.complain(message(for: error))
            if case .damaged = error { throw ExitCode(1) }
            throw ExitCode(2)
        }
        if !isComplete { throw ExitCode(2) }
    }

    private static func message(for error: WriteAheadLogError) -> String {
        if case .damaged(let damage) = error { return "damage: \(damage)" }
        return error.description
    }
}
