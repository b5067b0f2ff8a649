// A crash-safe queue of shell commands in a directory. Kill it whenever you like, and start it again.
import Foundation
import WriteAheadLog

let usage = """
    usage: JobQueue DIRECTORY add COMMAND...   accept commands as one batch: all of them or, in a crash, none
           JobQueue DIRECTORY work             run what was accepted, in order, until nothing is left
           JobQueue DIRECTORY serve            accept commands from standard input, one a line, and run them meanwhile
           JobQueue DIRECTORY list             show what was accepted and is not done

    A command is run by /bin/sh, at least once: again if the process died while it ran, never after it was reported.
    Exit status: 0 done, 1 an error, 64 wrong arguments, 75 another process has the directory open.

    """

/// Writes at once: what was said is said, also if the process is killed now.
func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

func complain(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

func report(_ job: Job, _ status: Int32) {
    let ending = status == 0 ? "" : " (wait status \(status))"
    say("done \(job.number)\(ending)")
}

/// Accepts each line of the standard input as a job. Lines that arrive together go to the disk together.
func acceptLines(_ queue: JobQueue) throws {
    var rest = ""
    var isAtEnd = false
    while !isAtEnd {
        let chunk = FileHandle.standardInput.availableData
        isAtEnd = chunk.isEmpty
        rest += String(decoding: chunk, as: UTF8.self)
        var lines = rest.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        // What follows the last line's end is not a whole line yet, unless nothing more comes.
        rest = isAtEnd ? "" : lines.removeLast()
        for job in try queue.accept(lines.filter { !$0.isEmpty }) { say("accepted \(job.number)") }
    }
}

/// Works on a thread of its own, and accepts on this one.
func serve(_ queue: JobQueue) throws {
    let ended = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        do { try queue.work(staying: true, report: report) } catch {
            complain("error: \(error)\n")
            exit(1)
        }
        ended.signal()
    }
    try acceptLines(queue)
    queue.close()
    ended.wait()
}

func run(_ command: String, _ arguments: [String], in directory: String) throws {
    let queue = try JobQueue(directory)
    switch command {
    case "add": for job in try queue.acceptTogether(arguments) { say("accepted \(job.number)") }
    case "work": try queue.work(staying: false, report: report)
    case "serve": try serve(queue)
    default: for job in queue.jobs { say("\(job.number) \(job.command)") }
    }
    try queue.shutDown()
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 2, ["add", "work", "serve", "list"].contains(arguments[1]),
    (arguments[1] == "add") == (arguments.count > 2)
else {
    complain(usage)
    exit(64)
}
do {
    try run(arguments[1], Array(arguments.dropFirst(2)), in: arguments[0])
} catch {
    complain("error: \(error)\n")
    if case WriteAheadLogError.inUse = error { exit(75) }
    exit(1)
}
