import LogFormat

/// A batch that is with the disk.
struct InFlightBatch {
    let stagingIndex: Int
    let header: BatchHeader
    let paddedBytes: Int
    let fileOffset: UInt64
    /// Monotonic microseconds at the hand-over.
    let since: Int64
    let staged: Counters.Amount
}

/// How far the log is durable.
public struct DurablePoint: Equatable, Sendable {
    /// The position behind the last durable batch.
    public internal(set) var position: Position
    /// The last durable batch.
    public internal(set) var number: BatchNumber
}

/// A batch that has just become durable.
public struct DurableBatch {
    public let number: BatchNumber
    /// The position of its first byte.
    public let position: Position
    /// Header and frames, without padding.
    public let byteCount: Int
    /// The position of the segment that it lies in.
    public let segment: Position
    /// True if it is the first batch of its segment: the one before is sealed now.
    public let beginsSegment: Bool
}

/// Where a staged frame lies.
public struct StagedFrame: Equatable, Sendable {
    /// The batch to wait for.
    public let batch: BatchNumber
    /// The frame's place in that batch, in bytes from the batch's first.
    public let byteOffset: Int
    public let byteCount: Int
}

/// What became of an append.
public enum AppendOutcome: Equatable, Sendable {
    case staged(StagedFrame)
    /// There is no room now; there will be after the next batch, or when a segment is ready.
    case busy
    /// No further segment can be made.
    case noSegment(FileError)
    case poisoned(PoisonCause)
}

/// What one `wait` brought.
public struct LoopEvents {
    public var durable: DurableBatch?
    /// Reads that ended: number, and bytes or a negative errno.
    public var reads: [(number: UInt64, result: Int32)] = []
    /// The owner's sources that are readable.
    public var sources: [Int] = []
    /// Files that the maintenance thread has finished for the owner.
    public var finishedFiles: [FinishedFile] = []

    public init() {}

    mutating func removeAll() {
        durable = nil
        reads.removeAll(keepingCapacity: true)
        sources.removeAll(keepingCapacity: true)
        finishedFiles.removeAll(keepingCapacity: true)
    }
}

extension CommitLog {
    /// What is staged, and what is with the disk.
    public var pending: (staged: Counters.Amount, inFlight: Counters.Amount) {
        (staged, inFlight?.staged ?? Counters.Amount())
    }

    /// Something is staged or in flight, and will end.
    public var isBusy: Bool { !commit.isPoisoned && (commit.isInFlight || !builders[filling].isEmpty) }

    /// What was staged last makes a difference to the next turn, which otherwise comes at that time (monotonic microseconds):
    /// it can hand the batch over, or comes too late for the batch's linger.
    public func needsTurn(before next: Int64) -> Bool {
        guard !commit.isInFlight, !builders[filling].isEmpty else { return false }
        let linger = configuration.lingerMicroseconds
        return linger == 0 || (staged.frames == 1 && next - fillingSince > linger) || isRipe
            || builders[filling].byteCount >= configuration.lingerBytesMax
    }

    private var isRipe: Bool { isCommitWanted || staged.records >= configuration.lingerRecordsMax }

    /// Bytes of the frames that are staged or in flight.
    public var pendingBytes: Int { staged.bytes + (inFlight?.staged.bytes ?? 0) }

    /// The next turn hands over what is staged as soon as the disk is free, however long it might have lingered.
    public func commitSoon() { isCommitWanted = !builders[filling].isEmpty }

    /// Performs what the protocol says. With `goesOn` the next batch is handed over behind one that has ended.
    func perform(_ action: CommitState.Action, _ result: inout LoopEvents, goesOn: Bool = true) {
        switch action {
        case .none, .linger: break
        case .seal: preconditionFailure("only a turn seals")
        case .writeRest(let written): writeRest(from: written)
        case .poison: staged = Counters.Amount()
        case .publish: publish(&result, goesOn: goesOn)
        }
    }

    /// Offers the filling batch to the protocol; returns how long it wants to linger.
    func advance(_ now: Int64) -> Int64? {
        switch offer(now) {
        case .seal:
            seal(now)
            writeRest(from: 0)
            return nil
        case .linger(let microseconds): return microseconds
        case .none: return nil
        case .publish, .writeRest, .poison: preconditionFailure("a turn completes nothing")
        }
    }

    /// Asks the protocol what to do with the filling batch.
    func offer(_ now: Int64) -> CommitState.Action {
        let builder = builders[filling]
        let bytes = builder.isEmpty ? 0 : builder.byteCount
        return commit.handle(.turned(stagedBytes: bytes, waitedMicroseconds: now - fillingSince, isRipe: isRipe))
    }

    private func publish(_ result: inout LoopEvents, goesOn: Bool) {
        guard let batch = inFlight else { preconditionFailure("a batch was published that was not in flight") }
        inFlight = nil
        let now = clock.monotonicMicroseconds
        counters.add(batch, latencyMicroseconds: now - batch.since)
        durable = DurablePoint(
            position: batch.header.position + batch.paddedBytes, number: batch.header.number)
        let segment = segmentOfBatch(batch.header.position)
        precondition(result.durable == nil, "two batches became durable in one turn")
        result.durable = DurableBatch(
            number: batch.header.number, position: batch.header.position, byteCount: Int(batch.header.byteCount),
            segment: segment.position, beginsSegment: batch.header.position == segment.firstBatchPosition)
        idleSince = now
        // The disk goes on before anyone is released. The finished batch's buffer is filled again only after that.
        if goesOn {
            _ = advance(now)
            device.submit()
        }
        let bytes = unsafe staging.buffer(batch.stagingIndex)[..<Int(batch.header.byteCount)]
        unsafe recent.insert(UnsafeRawBufferPointer(rebasing: bytes), at: batch.header.position)
    }

    private func segmentOfBatch(_ position: Position) -> Segment {
        guard let segment = segments.last(where: { $0.position <= position }) else {
            preconditionFailure("a batch lies before the first segment")
        }
        return segment
    }

    /// Makes the filling batch the one in flight; the caller writes it.
    func seal(_ now: Int64) {
        let byteCount = builders[filling].byteCount
        if roundedUp(byteCount, to: Int(active.header.blockBytes)) > active.remainingBytes { turnSegment() }
        let block = Int(active.header.blockBytes)
        let position = active.end
        precondition(durable.number == chain.number, "a batch was sealed while the one before it was not durable")
        let header = builders[filling].seal(
            number: chain.nextNumber, durableThrough: durable.number, storeID: storeID, epoch: chain.epoch,
            previousCRC: chain.crc, position: position, blockBytes: block)
        let padded = header.paddedBytes(blockBytes: block)
        precondition(padded <= active.remainingBytes, "a batch reaches beyond its segment")
        let batch = InFlightBatch(
            stagingIndex: filling, header: header, paddedBytes: padded, fileOffset: UInt64(position - active.position),
            since: now, staged: staged)
        staged = Counters.Amount()
        inFlight = batch
        chain = ChainState(after: header)
        active.end = position + padded
        filling = 1 - filling
        isCommitWanted = false
        builders[filling].reset()
        _ = commit.handle(.submitted(bytes: padded))
    }

    private func writeRest(from written: Int) {
        let (bytes, fileOffset) = unsafe rest(from: written)
        unsafe device.write(bytes, stagingIndex: 1 - filling, at: fileOffset)
    }

    /// What is left to write of the batch in flight, and where.
    func rest(from written: Int) -> (bytes: UnsafeRawBufferPointer, fileOffset: UInt64) {
        guard let batch = inFlight else { preconditionFailure("there is nothing in flight to write on") }
        let bytes = unsafe staging.buffer(batch.stagingIndex)[written..<batch.paddedBytes]
        return unsafe (UnsafeRawBufferPointer(rebasing: bytes), batch.fileOffset + UInt64(written))
    }

    /// Stages a seal frame after a second without appends: it proves the last batch durable.
    func sealIfIdle(_ now: Int64) -> Bool {
        guard !isSealed, !commit.isInFlight, !commit.isPoisoned else { return false }
        guard now - idleSince >= CommitLogLimits.sealAfterMicroseconds else { return false }
        if stageMark(.seal) { return true }
        // There is no segment for it: tried again a while later, not at every turn.
        idleSince = now
        return false
    }

    /// Stages a frame that belongs to no log.
    func stageMark(_ kind: FrameKind) -> Bool {
        let header = FrameHeader(
            kind: kind, recordCount: 0, logID: .none, firstOffset: .zero, timestamp: clock.now, payloadBytes: 0)
        let outcome = unsafe append(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) { _, _ in }
        guard case .staged = outcome else { return false }
        // A mark waits for no company: what waits for it is a start, an end, or a log without appends.
        commitSoon()
        return true
    }
}
