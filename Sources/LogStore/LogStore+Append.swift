import LogFormat
import WriteAheadLog

/// A frame that is staged or in flight, and what its durability makes true.
struct PendingFrame {
    let batch: BatchNumber
    let slot: LogSlot
    /// It makes the log.
    let isCreate: Bool
    let first: RecordOffset
    let count: Int
    let recordBytes: Int
    /// The frame's place in its batch.
    let byteOffset: Int
}

/// The pending frames in the order in which they were staged.
struct PendingFrames {
    private var frames: [PendingFrame] = []
    private var head = 0

    mutating func append(_ frame: PendingFrame) { frames.append(frame) }

    /// The oldest frame, if it is in this batch.
    mutating func popFirst(in batch: BatchNumber) -> PendingFrame? {
        guard head < frames.count, frames[head].batch == batch else {
            if head == frames.count {
                frames.removeAll(keepingCapacity: true)
                head = 0
            } else if head > 4096 {
                frames.removeFirst(head)
                head = 0
            }
            return nil
        }
        head += 1
        return frames[head - 1]
    }
}

extension LogStore {
    /// Stages the records behind the last of the log, making the log if it is not there and that is allowed.
    /// The name is valid. Nothing is allocated for a log that is there.
    public func append(to name: UnsafeRawBufferPointer, _ body: RecordBody) -> StoreAppend {
        let known = unsafe table.slot(named: name)
        guard known != nil || configuration.autoCreate else { return .refused(AppendRefusal(cause: .logNotFound, after: .zero)) }
        var fields = FieldWriter()
        if known == nil { unsafe fields.append(.logName, name) }
        let createBytes = known == nil ? frameBytes(fields, recordCount: 0, payloadBytes: 0) : 0
        let bytes =
            createBytes + frameBytes(FieldWriter(), recordCount: body.recordCount, payloadBytes: body.payloadBytes)
        if let refusal = wal.refusal(frameBytes: bytes) { return StoreAppend(refusal) }
        guard wal.pendingBytes + bytes <= configuration.pendingBytesMax else { return .pendingLimit }
        let timestamp = nextTimestamp()
        let slot = unsafe known ?? create(name, fields, timestamp)
        return .staged(stage(body, slot, timestamp))
    }

    private func frameBytes(_ fields: FieldWriter, recordCount: Int, payloadBytes: Int) -> Int {
        FrameHeader.frameBytes(
            fieldsBytes: fields.bytes.count, recordCount: recordCount, payloadBytes: payloadBytes)
    }

    private func stage(_ body: RecordBody, _ slot: LogSlot, _ timestamp: Timestamp) -> AppendTicket {
        let first = table[slot].sequencedNext
        let header = FrameHeader(
            kind: .append, recordCount: UInt32(body.recordCount), logID: table[slot].id, firstOffset: first,
            timestamp: timestamp, payloadBytes: UInt32(body.payloadBytes))
        let outcome = unsafe wal.append(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) {
            lengths, payload in
            unsafe body.write(lengths: lengths, payload: payload)
        }
        guard case .staged(let frame) = outcome else { preconditionFailure("a frame that fitted was not staged") }
        table[slot].sequencedNext = first + body.recordCount
        pending.append(
            PendingFrame(
                batch: frame.batch, slot: slot, isCreate: false, first: first, count: body.recordCount,
                recordBytes: body.payloadBytes, byteOffset: frame.byteOffset))
        return AppendTicket(
            log: slot, batch: frame.batch, first: first, count: body.recordCount, timestamp: timestamp)
    }

    /// Stages the frame that makes a log. It is visible to nobody before it is durable.
    private func create(_ name: UnsafeRawBufferPointer, _ fields: FieldWriter, _ timestamp: Timestamp) -> LogSlot {
        let slot = unsafe table.add(name: name, id: nextID, created: timestamp, isDurable: false)
        nextID = nextID.next
        let header = FrameHeader(
            kind: .create, recordCount: 0, logID: table[slot].id, firstOffset: .zero, timestamp: timestamp,
            payloadBytes: 0)
        let outcome = unsafe fields.bytes.withUnsafeBytes { unsafe wal.append(header, fields: $0) { _, _ in } }
        guard case .staged(let frame) = outcome else { preconditionFailure("a frame that fitted was not staged") }
        pending.append(
            PendingFrame(
                batch: frame.batch, slot: slot, isCreate: true, first: .zero, count: 0, recordBytes: 0,
                byteOffset: frame.byteOffset))
        return slot
    }

    /// The time of day, and always later than the last one, also across restarts.
    private func nextTimestamp() -> Timestamp {
        lastTimestamp = max(clock.now, lastTimestamp.next)
        return lastTimestamp
    }

    /// Makes what a durable batch says visible.
    public func publish(_ batch: DurableBatch) {
        if batch.segment != activeIndex.segment { sealActiveIndex(next: batch.segment) }
        let batchEnd = batch.position + batch.byteCount
        while let frame = pending.popFirst(in: batch.number) {
            if frame.isCreate {
                table[frame.slot].isDurable = true
                durableLogCount += 1
                continue
            }
            precondition(table[frame.slot].durableNext == frame.first, "a frame was published out of order")
            table[frame.slot].durableNext = frame.first + frame.count
            table[frame.slot].bytes += UInt64(frame.recordBytes)
            recordCount += UInt64(frame.count)
            recordBytes += UInt64(frame.recordBytes)
            activeIndex.add(
                frame.slot, last: &table[frame.slot].lastActiveEntry, offset: frame.first,
                frame: batch.position + frame.byteOffset, batchEnd: batchEnd)
        }
    }
}

extension StoreAppend {
    init(_ outcome: AppendOutcome) {
        switch outcome {
        case .busy: self = .busy
        case .noSegment(let error): self = .noSegment(error)
        case .poisoned(let cause): self = .poisoned(cause)
        case .staged: preconditionFailure("a refusal is not staged")
        }
    }
}
