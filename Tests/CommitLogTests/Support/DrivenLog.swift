import Glibc
import LogFormat
import Testing

@testable import CommitLog

/// Takes what a start replays and keeps it.
final class ReplayedLog: RecoveryVisitor {
    private(set) var checkpoint: [UInt8]?
    private(set) var indexed: [Position] = []
    private(set) var batches: [BatchNumber] = []
    private(set) var epochs: [Epoch] = []
    /// The bytes of each append frame, in order.
    private(set) var frames: [[UInt8]] = []
    private(set) var kinds: [FrameKind] = []

    func restore(_ payload: UnsafeRawBufferPointer) throws(CommitLogError) {
        checkpoint = Array(payload)
    }

    func index(_ segment: Segment) throws(CommitLogError) {
        indexed.append(segment.position)
    }

    func replay(_ batch: inout BatchView, at position: Position) throws(CommitLogError) {
        batches.append(batch.header.number)
        epochs.append(batch.header.epoch)
        do throws(FormatError) {
            while let frame = try batch.nextFrame() {
                kinds.append(frame.header.kind)
                if frame.header.kind == .append { frames.append(Array(frame.bytes)) }
            }
        } catch { throw .damaged(Damage(file: "wal", position: position, cause: error.description)) }
    }
}

/// Where a durable batch lies.
struct BatchPlace: Equatable {
    let number: BatchNumber
    let position: Position
    let byteCount: Int
    let segment: Position
    let beginsSegment: Bool

    /// Its place in the segment's file.
    var fileOffset: Int { position - segment }
    var file: String { "wal/\(DataDirectory.segmentName(segment))" }
}

/// Opens something under the directory's lock. A child that another test is just starting holds a copy of every
/// descriptor, of the lock's too, until it runs its program.
func whenNoChildHoldsTheLock<Value: ~Copyable>(_ open: () throws -> Value) throws -> Value {
    for _ in 0..<5000 {
        do { return try open() } catch CommitLogError.inUse { usleep(1000) }
    }
    return try open()
}

/// A log with the loop of an owner who appends and waits, and who remembers every frame that was reported durable.
final class DrivenLog {
    static let segmentBytes = 1 << 20
    static let batchBytesMax = 256 << 10

    let log: CommitLog
    let replayed: ReplayedLog
    private(set) var batches: [BatchPlace] = []
    /// The bytes of each append frame in a batch that was reported durable.
    private(set) var frames: [[UInt8]] = []
    private(set) var finishedFiles: [FinishedFile] = []
    var events = LoopEvents()
    private var nextOffset = RecordOffset.zero

    static func configuration(_ directory: ScratchDirectory) -> CommitLogConfiguration {
        var configuration = CommitLogConfiguration(directory: directory.path)
        configuration.segmentBytes = segmentBytes
        configuration.batchBytesMax = batchBytesMax
        // The tests may run in a container, on an overlay.
        configuration.allowsUnsafeFileSystem = true
        return configuration
    }

    init(
        _ configuration: CommitLogConfiguration, fileSystem: any FileSystem = PosixFileSystem(),
        clock: any LogClock = SystemClock(), decorate: @escaping (any LogDevice) -> any LogDevice = { $0 }
    ) throws {
        (log, replayed) = try whenNoChildHoldsTheLock {
            let replayed = ReplayedLog()
            let log = try CommitLog.open(
                configuration, fileSystem: fileSystem, clock: clock, visitor: replayed, decorate: decorate)
            return (log, replayed)
        }
        nextOffset = nextOffset + replayed.frames.count
    }

    convenience init(
        _ directory: ScratchDirectory, fileSystem: any FileSystem = PosixFileSystem(),
        decorate: @escaping (any LogDevice) -> any LogDevice = { $0 }
    ) throws {
        try self.init(Self.configuration(directory), fileSystem: fileSystem, decorate: decorate)
    }

    /// Stages one frame with one record.
    func append(_ record: [UInt8]) -> AppendOutcome {
        let header = FrameHeader(
            kind: .append, recordCount: 1, logID: LogID(rawValue: 1), firstOffset: nextOffset,
            timestamp: Timestamp(rawValue: 1_000_000 + nextOffset.rawValue), payloadBytes: UInt32(record.count))
        let outcome = log.append(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) { lengths, payload in
            lengths.storeBytes(of: UInt32(record.count).littleEndian, as: UInt32.self)
            payload.copyBytes(from: record)
        }
        if case .staged = outcome { nextOffset = nextOffset + 1 }
        return outcome
    }

    /// Stages a record, waiting for room where there is none.
    func stage(_ record: [UInt8]) throws {
        while true {
            switch append(record) {
            case .staged: return
            case .busy: wait()
            case .noSegment(let error): throw error
            case .poisoned(let cause): throw CommitLogError.poisoned(cause)
            }
        }
    }

    /// One turn of the loop, which sleeps until something happens.
    func wait() {
        let timeout = log.turn()
        wait(timeoutMicroseconds: timeout)
    }

    func wait(timeoutMicroseconds: Int64?) {
        log.wait(timeoutMicroseconds: timeoutMicroseconds, into: &events)
        finishedFiles += events.finishedFiles
        if let durable = events.durable { take(durable) }
    }

    /// Appends the records in one batch and waits until they are durable.
    func commit(_ records: [[UInt8]]) throws {
        for record in records { try stage(record) }
        let last = log.fillingNumber
        while log.durable.number < last {
            wait()
            if let cause = log.poisonCause { throw CommitLogError.poisoned(cause) }
        }
    }

    /// Appends a record of so many bytes in a batch of its own.
    func commit(bytes: Int) throws {
        try commit([record(bytes)])
    }

    /// A record that no other one of this log equals.
    func record(_ byteCount: Int) -> [UInt8] {
        Self.record(byteCount, index: Int(nextOffset.rawValue))
    }

    static func record(_ byteCount: Int, index: Int) -> [UInt8] {
        var state = UInt64(index) &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<byteCount).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state >> 32)
        }
    }

    /// Makes a checkpoint durable, of which a later start says that the log goes on in the active segment.
    /// `kept`: the indexes of the segments before it that it says are needed; all of them unless given.
    func checkpoint(_ payload: [UInt8], kept: [Int]? = nil) throws {
        let count = finishedFiles.count
        let positions =
            kept.map { $0.map { Position(rawValue: UInt64($0 * Self.segmentBytes)) } }
            ?? log.segments.dropLast().map(\.position)
        log.writeCheckpoint(payload, anchor: log.scanAnchor, kept: positions)
        while finishedFiles.count == count { wait(timeoutMicroseconds: nil) }
        if let error = finishedFiles[count].error { throw error }
    }

    /// Seals and waits, as at a clean stop.
    func finish() -> Bool {
        log.finish(deadlineMicroseconds: log.clock.monotonicMicroseconds + 10_000_000)
    }

    /// Waits until the spare segment is ready.
    func awaitSpare() {
        while !hasSpare { wait(timeoutMicroseconds: nil) }
    }

    var hasSpare: Bool { if case .ready = log.spare { true } else { false } }

    private func take(_ durable: DurableBatch) {
        batches.append(
            BatchPlace(
                number: durable.number, position: durable.position, byteCount: durable.byteCount,
                segment: durable.segment, beginsSegment: durable.beginsSegment))
        guard let (start, bytes) = log.recentBatch(containing: durable.position) else {
            Issue.record("a batch that has just become durable is not in memory")
            return
        }
        #expect(start == durable.position)
        #expect(bytes.count == durable.byteCount)
        do {
            var batch = try BatchView(checking: bytes)
            while let frame = try batch.nextFrame() {
                if frame.header.kind == .append { frames.append(Array(frame.bytes)) }
            }
        } catch { Issue.record("a durable batch is unreadable in memory: \(error)") }
    }
}
