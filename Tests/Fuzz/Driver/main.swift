import Glibc

// Gives the target that FUZZ_TARGET names to libFuzzer: `FUZZ_TARGET=batch appendlog-fuzz [libFuzzer's arguments]`.
// In the environment, because libFuzzer starts itself again with its own arguments.
// `appendlog-fuzz seeds DIRECTORY` writes the inputs that the corpus begins with.

private typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>, _ callback: Callback
) -> Int32

nonisolated(unsafe) private var chosen = FuzzTarget.batch

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "seeds" {
    try Seeds.write(to: CommandLine.arguments[2])
    exit(0)
}
guard let name = getenv("FUZZ_TARGET"), let target = FuzzTarget(rawValue: String(cString: name)) else {
    let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: " ")
    let usage = "usage: FUZZ_TARGET=NAME appendlog-fuzz [-runs=N ...] CORPUS, with NAME one of: \(names)\n"
    write(STDERR_FILENO, usage, usage.utf8.count)
    exit(2)
}
chosen = target
var arguments = CommandLine.unsafeArgv
var count = CommandLine.argc
exit(
    runDriver(&count, &arguments) { bytes, byteCount in
        chosen.run(Array(UnsafeBufferPointer(start: bytes, count: byteCount)))
        return 0
    })
