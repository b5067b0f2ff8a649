// A program over the public library alone, under which Tests/PowerCut (library.py) cuts the power.
//
//     wal-power-writer write DIR io_uring|syscalls direct|buffered LIFE BYTES truncates|keeps
//     wal-power-writer verify DIR io_uring|syscalls direct|buffered
//
// `write` appends until its standard input ends, and says when BYTES were acknowledged. LIFE tells its runs in one directory
// apart. `verify` says where the log begins and ends, and then gives each record: its position (8 bytes), its length (4
// bytes), and the record itself.
import Foundation
import WriteAheadLog

func open(_ arguments: [String], life: UInt64) throws -> WriteAheadLog {
    var configuration = WriteAheadLog.Configuration()
    configuration.engine = arguments[1] == "syscalls" ? .syscalls : .ioURing
    configuration.directIO = arguments[2] == "buffered" ? .off : .on
    configuration.segmentBytes = 1 << 20
    configuration.batchBytes = 512 << 10
    switch life % 3 {
    case 1: configuration.commitLingerMicroseconds = 300
    case 2: configuration.groupRecords = 5
    default: break
    }
    let log = try WriteAheadLog.open(arguments[0], configuration)
    say("opened \(log.recovery.first) \(log.recovery.next)")
    return log
}

func writeRecords(_ arguments: [String]) throws {
    let life = UInt64(arguments[3])!
    let log = try open(arguments, life: life)
    let writers = Writers(log, life: life, bytesWanted: Int(arguments[4])!, truncates: arguments[5] == "truncates")
    writers.start()
    while !FileHandle.standardInput.availableData.isEmpty {}
    writers.stop()
    try log.shutdown()
    say("stopped")
}

func giveRecords(_ arguments: [String]) throws {
    let log = try open(arguments, life: 0)
    let reader = try log.records(from: log.recovery.first)
    var found: [UInt8] = []
    while let record = try reader.next() {
        withUnsafeBytes(of: record.position.rawValue.littleEndian) { found += $0 }
        withUnsafeBytes(of: UInt32(record.bytes.count).littleEndian) { found += $0 }
        found += record.bytes
    }
    FileHandle.standardOutput.write(Data(found))
    try log.shutdown()
}

do {
    switch CommandLine.arguments.dropFirst().first {
    case "write" where CommandLine.arguments.count == 8: try writeRecords(Array(CommandLine.arguments.dropFirst(2)))
    case "verify" where CommandLine.arguments.count == 5: try giveRecords(Array(CommandLine.arguments.dropFirst(2)))
    case nil, .some: exit(2)
    }
} catch { fail(error) }
