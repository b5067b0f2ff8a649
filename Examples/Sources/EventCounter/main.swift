// Counters that are rebuilt from the events that changed them. Kill it whenever you like, and start it again.
import Foundation
import WriteAheadLog

let usage = """
    usage: EventCounter DIRECTORY add NAME [AMOUNT]           add to a counter (1; negative to subtract)
           EventCounter DIRECTORY count TASKS EVENTS [-v]     TASKS tasks at once add 1 EVENTS times each, to task-1, task-2, …;
                                                              -v says so each time, when it is on the disk
           EventCounter DIRECTORY show                        show the counters

    Exit status: 0 done, 1 an error, 64 wrong arguments, 75 another process has the directory open.

    """

/// Writes at once: what was said is said, also if the process is killed now.
func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

func complain(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

enum Command {
    case add(name: String, amount: Int)
    case count(tasks: Int, events: Int, isVerbose: Bool)
    case show

    init?(_ words: [String]) {
        switch (words.first, words.count) {
        case ("add", 2...3):
            guard !words[1].isEmpty, !words[1].contains(" "), let amount = Int32(words.count == 3 ? words[2] : "1")
            else { return nil }
            self = .add(name: words[1], amount: Int(amount))
        case ("count", 3...4):
            guard let tasks = Int(words[1]), let events = Int(words[2]), tasks > 0, events > 0 else { return nil }
            guard words.count == 3 || words[3] == "-v" else { return nil }
            self = .count(tasks: tasks, events: events, isVerbose: words.count == 4)
        case ("show", 1): self = .show
        default: return nil
        }
    }
}

/// Has many tasks add at once. Each waits for its own event; the log brings all that wait to the disk with one sync.
func count(_ counters: Counters, tasks: Int, events: Int, isVerbose: Bool) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 1...tasks {
            group.addTask {
                for event in 1...events {
                    try await counters.add(1, to: "task-\(task)")
                    if isVerbose { say("task-\(task) \(event)") }
                }
            }
        }
        try await group.waitForAll()
    }
}

func show(_ counters: Counters) async throws {
    for (name, value) in try await counters.values.sorted(by: { $0.key < $1.key }) { say("\(name) \(value)") }
}

/// What the log did meanwhile.
func showStatistics(_ log: WriteAheadLog) {
    let statistics = log.statistics
    say("\(statistics.recordsWritten) records in \(statistics.batches) batches, each one write and one sync")
    say("sync p50 \(statistics.syncLatency.p50) µs, p99 \(statistics.syncLatency.p99) µs")
    say("engine \(statistics.engine), mode \(statistics.mode)")
}

func run(_ command: Command, in directory: String) async throws {
    let counters = try Counters(directory)
    switch command {
    case .add(let name, let amount):
        try await counters.add(amount, to: name)
        try await show(counters)
    case .count(let tasks, let events, let isVerbose):
        try await count(counters, tasks: tasks, events: events, isVerbose: isVerbose)
        showStatistics(counters.log)
    case .show: try await show(counters)
    }
    try counters.log.shutdown()
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard let directory = arguments.first, let command = Command(Array(arguments.dropFirst())) else {
    complain(usage)
    exit(64)
}
do {
    try await run(command, in: directory)
} catch {
    complain("error: \(error)\n")
    if case WriteAheadLogError.inUse = error { exit(75) }
    exit(1)
}
