import Foundation

@testable import CommitLog
@testable import WriteAheadLog

/// A directory for a log, on the disk that the package is built on; it goes when this value goes.
final class LogOnDisk: Sendable {
    let path: String

    init() {
        path = FileManager.default.currentDirectoryPath + "/.build/embedded-test-\(UUID().uuidString)"
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Small segments and batches, so that opening is quick and segments turn.
    static var configuration: WriteAheadLog.Configuration {
        var configuration = WriteAheadLog.Configuration()
        configuration.segmentBytes = 1 << 20
        configuration.batchBytes = 128 << 10
        return configuration
    }

    func open(
        _ change: (inout WriteAheadLog.Configuration) -> Void = { _ in }
    ) throws(WriteAheadLogError) -> WriteAheadLog {
        var configuration = Self.configuration
        change(&configuration)
        return try open(configuration)
    }

    func open(_ configuration: WriteAheadLog.Configuration) throws(WriteAheadLogError) -> WriteAheadLog {
        try WriteAheadLog.open(path, configuration)
    }

    /// A log whose device is in the test's hands.
    func openGated(
        writesForCallers: Bool = false, _ change: (inout WriteAheadLog.Configuration) -> Void = { _ in }
    ) throws -> (WriteAheadLog, GatedDevice) {
        var configuration = Self.configuration
        change(&configuration)
        let holder = GateHolder()
        let log = try WriteAheadLog.open(path, configuration) { engine, pendingBytesMax throws(WriteAheadLogError) in
            do throws(CommitLogError) {
                return try RecordLog(pendingBytesMax: pendingBytesMax) { replay throws(CommitLogError) in
                    try CommitLog.open(
                        engine, fileSystem: PosixFileSystem(), clock: SystemClock(), visitor: replay,
                        decorate: { holder.decorate($0, writesForCallers) })
                }
            } catch { throw WriteAheadLogError(error) }
        }
        return (log, holder.gate!)
    }

    /// Copies another log's files, as they are now.
    func take(_ other: LogOnDisk) throws {
        try FileManager.default.copyItem(atPath: other.path, toPath: path)
    }

    /// The names in its directory of segments.
    var segmentNames: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path + "/wal")) ?? []).filter { $0.hasSuffix(".seg") }
    }
}

private final class GateHolder: @unchecked Sendable {
    // Sendable, as it is written before the log is open and read after that.
    var gate: GatedDevice?

    func decorate(_ inner: any LogDevice, _ writesForCallers: Bool) -> any LogDevice {
        gate = try! GatedDevice(inner, writesForCallers: writesForCallers)
        return gate!
    }
}

/// Waits until something is so; false after a minute.
func becomes(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while try !condition() {
        if ContinuousClock.now > deadline { return false }
        usleep(500)
    }
    return true
}

/// Runs `body` on so many threads at once, each with its number, and waits for all.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        Thread {
            body(index)
            group.leave()
        }.start()
    }
    group.wait()
}

/// As `onThreads`, calling `then` when all have ended instead of blocking.
func onThreadsWithoutWaiting(
    _ count: Int, _ body: @escaping @Sendable (Int) -> Void, then: @escaping @Sendable () -> Void
) {
    Thread {
        onThreads(count, body)
        then()
    }.start()
}

extension WriteAheadLog {
    /// All records from a place on.
    func all(from position: RecordPosition = .zero) throws -> [Record] {
        let reader = try records(from: position)
        var found: [Record] = []
        while let record = try reader.next() { found.append(record) }
        return found
    }
}

/// Bytes that tell which record they are.
func sample(_ index: Int, bytes: Int = 20) -> [UInt8] {
    let text = Array("record \(index) ".utf8)
    return (0..<bytes).map { text[$0 % text.count] }
}
