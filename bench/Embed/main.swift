// Measures the public library alone, in process; bench/embed drives it beside the raw writer.
//
//     wal-bench DIR window|rounds|threads|wait|async OUTSTANDING RECORD-BYTES SECONDS [group=N] [linger=MICROSECONDS]
//                     [segment=MIB]
//     wal-bench DIR count COUNT RECORD-BYTES 60
//
// Prints one line of JSON. `count` appends so many records, half of them each by itself and half in groups of ten, for
// somebody who counts what that costs.
import Foundation
import WriteAheadLog

let recordCountMax = 4 << 20

struct Samples {
    var nanoseconds: [UInt64] = []

    init() { nanoseconds.reserveCapacity(recordCountMax) }

    func microseconds(_ percent: Double) -> Double {
        let sorted = nanoseconds.sorted()
        guard !sorted.isEmpty else { return 0 }
        let rank = Int((percent / 100 * Double(sorted.count)).rounded(.up))
        return Double(sorted[min(max(rank, 1), sorted.count) - 1]) / 1_000
    }
}

struct Plan {
    let outstanding: Int
    let record: [UInt8]
    let end: UInt64

    func goesOn(_ count: Int) -> Bool { count < recordCountMax && now() < end }
}

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func cpuMicroseconds() -> Double {
    var use = rusage()
    getrusage(Int32(RUSAGE_SELF.rawValue), &use)
    let seconds = use.ru_utime.tv_sec + use.ru_stime.tv_sec
    return Double(seconds) * 1e6 + Double(use.ru_utime.tv_usec + use.ru_stime.tv_usec)
}

/// One thread that appends again as soon as the oldest append is durable.
func window(_ log: WriteAheadLog, _ plan: Plan) throws -> Samples {
    var samples = Samples()
    var ring: [(token: CompletionToken, begun: UInt64)] = []
    for _ in 0..<plan.outstanding {
        let begun = now()
        ring.append((try log.append(plan.record), begun))
    }
    var oldest = 0
    while plan.goesOn(samples.nanoseconds.count) {
        try ring[oldest].token.wait()
        samples.nanoseconds.append(now() - ring[oldest].begun)
        let begun = now()
        ring[oldest] = (try log.append(plan.record), begun)
        oldest = (oldest + 1) % ring.count
    }
    try log.flush()
    return samples
}

/// One thread that appends so many and waits for the last; a sample is a round.
func rounds(_ log: WriteAheadLog, _ plan: Plan) throws -> Samples {
    var samples = Samples()
    while plan.goesOn(samples.nanoseconds.count * plan.outstanding) {
        let begun = now()
        for _ in 1..<plan.outstanding { _ = try log.append(plan.record) }
        try log.appendAndWait(plan.record)
        samples.nanoseconds.append(now() - begun)
    }
    return samples
}

/// One thread with one append at a time, through `appendAndWait`.
func wait(_ log: WriteAheadLog, _ plan: Plan) throws -> Samples {
    var samples = Samples()
    while plan.goesOn(samples.nanoseconds.count) {
        let begun = now()
        try log.appendAndWait(plan.record)
        samples.nanoseconds.append(now() - begun)
    }
    return samples
}

/// Appends exactly so many records, in both ways.
func count(_ log: WriteAheadLog, _ plan: Plan) throws -> Samples {
    for _ in 0..<plan.outstanding / 2 { try log.appendAndWait(plan.record) }
    for _ in 0..<plan.outstanding / 20 {
        for _ in 1..<10 { _ = try log.append(plan.record) }
        try log.append(plan.record).wait()
    }
    return Samples()
}

final class Gathered: @unchecked Sendable {
    private let lock = NSLock()
    private(set) var samples = Samples()
    func add(_ other: Samples) { lock.withLock { samples.nanoseconds += other.nanoseconds } }
}

/// So many threads with one append each.
func threads(_ log: WriteAheadLog, _ plan: Plan) throws -> Samples {
    let gathered = Gathered()
    let group = DispatchGroup()
    for _ in 0..<plan.outstanding {
        group.enter()
        Thread.detachNewThread {
            var samples: [UInt64] = []
            while plan.goesOn(samples.count) {
                let begun = now()
                guard (try? log.appendAndWait(plan.record)) != nil else { break }
                samples.append(now() - begun)
            }
            var all = Samples()
            all.nanoseconds = samples
            gathered.add(all)
            group.leave()
        }
    }
    group.wait()
    return gathered.samples
}

/// So many tasks with one append each.
func tasks(_ log: WriteAheadLog, _ plan: Plan) async throws -> Samples {
    try await withThrowingTaskGroup(of: [UInt64].self) { group in
        for _ in 0..<plan.outstanding {
            group.addTask {
                var samples: [UInt64] = []
                while plan.goesOn(samples.count) {
                    let begun = now()
                    _ = try await log.append(plan.record).value
                    samples.append(now() - begun)
                }
                return samples
            }
        }
        var samples = Samples()
        for try await one in group { samples.nanoseconds += one }
        return samples
    }
}

let arguments = CommandLine.arguments
guard arguments.count >= 6, let outstanding = Int(arguments[3]), outstanding > 0, let bytes = Int(arguments[4]),
    let seconds = Double(arguments[5]), seconds <= 60
else {
    print("usage: wal-bench DIR window|rounds|threads|wait|async|count OUTSTANDING BYTES SECONDS [group=N] [linger=US]")
    exit(2)
}
var configuration = WriteAheadLog.Configuration()
for option in arguments[6...] {
    let parts = option.split(separator: "=")
    guard parts.count == 2, let value = Int(parts[1]) else { exit(2) }
    switch parts[0] {
    case "group": configuration.groupRecords = value
    case "linger":
        configuration.commitLingerMicroseconds = value
        configuration.commitRecords = outstanding
    case "segment": configuration.segmentBytes = value << 20
    default: exit(2)
    }
}
configuration.allowsUnsafeFileSystem = true
let log = try WriteAheadLog.open(arguments[1], configuration)
let record = [UInt8](repeating: 0xA5, count: bytes)
for _ in 0..<200 { try log.appendAndWait(record) }
let before = log.statistics
let cpu = cpuMicroseconds()
let begun = now()
let plan = Plan(outstanding: outstanding, record: record, end: begun + UInt64(seconds * 1e9))
let samples: Samples
switch arguments[2] {
case "window": samples = try window(log, plan)
case "rounds": samples = try rounds(log, plan)
case "threads": samples = try threads(log, plan)
case "wait": samples = try wait(log, plan)
case "count": samples = try count(log, plan)
case "async": samples = try await tasks(log, plan)
default: exit(2)
}
let elapsed = Double(now() - begun) / 1e9
let spent = cpuMicroseconds() - cpu
let after = log.statistics
let records = Double(after.recordsWritten - before.recordsWritten)
let batches = Double(after.batches - before.batches)
let result: [(String, Double)] = [
    ("seconds", elapsed), ("records_per_second", records / elapsed),
    ("bytes_per_second", records * Double(bytes) / elapsed), ("batches", batches),
    ("records_per_batch", records / batches), ("cpu_us_per_commit", spent / batches),
    ("cpu_us_per_record", spent / records), ("count", Double(samples.nanoseconds.count)),
    ("p50_us", samples.microseconds(50)), ("p99_us", samples.microseconds(99)),
]
print("{" + result.map { "\"\($0.0)\": \(String(format: "%.2f", $0.1))" }.joined(separator: ", ") + "}")
try log.shutdown()
