import AppendLogService
import ArgumentParser

@main
struct AppendLog: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "appendlog",
        abstract: "Named append-only logs over HTTP. A 2xx means on disk.",
        version: Version.current,
        subcommands: [Serve.self, Verify.self, Dump.self, RepairCommand.self, ShowVersion.self])
}

struct ShowVersion: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    func run() {
        StandardOutput.write(Version.current + "\n")
    }
}
