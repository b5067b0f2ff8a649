import AppendLogService
import ArgumentParser
import CommitLog

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a data directory that no server has open. Nothing is changed.",
        discussion: """
            Reads every segment, checkpoint and index file, goes on behind damage, and lists each damage with file, position \
            and cause, and what is missing for it, on standard error; a summary on standard output. Exit status 0: no \
            damage. 1: damage. 2: the directory could not be read, or is in use. The directory of a program that embeds the \
            write-ahead log is checked too.
            """)

    @Argument(help: "The data directory.")
    var directory: String

    func run() throws {
        try Offline.reporting { () throws(CommitLogError) in
            let log = try OfflineLog(path: directory)
            switch log.content {
            case .namedLogs:
                let found = try Verification(log) { StandardOutput.complain($0) }
                StandardOutput.write(found.summary)
                return found.isWhole ? .whole : .damaged
            case .singleLog:
                let found = try StreamVerification(log) { StandardOutput.complain($0) }
                StandardOutput.write(found.summary)
                return found.isWhole ? .whole : .damaged
            }
        }
    }
}

struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the records of a data directory that no server has open, one JSON object a line.",
        discussion: """
            Records are printed as GET /v1/logs/LOG/records gives them; without --log each line also names its log. What is \
            damaged is left out and said on standard error. Exit status as of verify; 2 also when there is no such log.
            """)

    @Argument(help: "The data directory.")
    var directory: String

    @Option(help: "Only this log.")
    var log: String?

    @Flag(help: "Print the frames of the write-ahead log instead: where each lies and what it says.")
    var frames = false

    func run() throws {
        try Offline.reporting { () throws(CommitLogError) in
            let dump = try LogDump(
                OfflineLog(path: directory), frames ? .frames : .records, of: log.map { Array($0.utf8) },
                { StandardOutput.write($0) }, report: { StandardOutput.complain($0) })
            guard dump.isThere else {
                StandardOutput.complain("there is no log named \(log ?? "")")
                return .failed
            }
            return dump.isWhole ? .whole : .damaged
        }
    }
}

struct RepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Write what is whole of a damaged data directory into a new one beside it.",
        discussion: """
            The original is not changed. Each damage, and each record that could not be kept, is listed on standard error. In \
            the copy every record has the offset and the time that it had; where some are lost, reads get 410 records_lost. \
            Exit status 0: the copy holds everything. 1: something is not in it. 2: there is no copy.
            """)

    @Argument(help: "The data directory, which no server has open.")
    var directory: String

    @Option(help: "The directory to be made (default: DIRECTORY.repaired).")
    var output: String?

    func run() throws {
        try Offline.reporting { () throws(CommitLogError) in
            let result = try Repair(directory, output: output) { StandardOutput.complain($0) }.run()
            StandardOutput.write(
                "\(result.directory): \(result.recordCount) records of \(result.logCount) logs, read back and synced; "
                    + "\(result.damageCount) places were damaged, \(result.lossCount) losses are listed\n")
            return result.lossCount == 0 ? .whole : .damaged
        }
    }
}

/// The exit statuses of the commands that look at a data directory.
private enum Offline {
    enum Outcome: Int32 {
        case whole = 0
        case damaged = 1
        case failed = 2
    }

    static func reporting(_ body: () throws(CommitLogError) -> Outcome) throws {
        let outcome: Outcome
        do throws(CommitLogError) { outcome = try body() } catch {
            StandardOutput.complain(error.description)
            outcome = .failed
        }
        if outcome != .whole { throw ExitCode(outcome.rawValue) }
    }
}
