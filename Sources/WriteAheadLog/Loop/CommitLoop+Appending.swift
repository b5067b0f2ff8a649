import CommitLog
import LogFormat

extension CommitLoop {
    /// Writes record lengths (u32, little-endian) and record bytes where they are staged.
    typealias Fill = (_ lengths: UnsafeMutableRawBufferPointer, _ payload: UnsafeMutableRawBufferPointer) -> Void

    /// Accepts records as one frame. Without `wakes` the caller has to see to it at once that they are committed.
    func append(
        records count: Int, bytes: Int, wakes: Bool = true, fill: Fill
    ) throws(WriteAheadLogError) -> CompletionToken {
        let frameBytes = FrameHeader.frameBytes(fieldsBytes: 0, recordCount: count, payloadBytes: bytes)
        guard frameBytes <= frameBytesMax else { throw .tooLarge(bytes: frameBytes, bytesMax: frameBytesMax) }
        return try accept(records: count, bytes: bytes, wakes: wakes) { records throws(WriteAheadLogError) in
            // Nothing to write: it is there when everything before it is.
            if count == 0 { return .staged(lastBatch(records), records.sequenced.upperBound) }
            return
                unsafe records.append(records: count, bytes: bytes, fill: fill)
        }
    }

    /// Accepts that everything before a place is gone.
    func truncateFront(before first: RecordPosition) throws(WriteAheadLogError) -> CompletionToken {
        try accept(records: 0, bytes: 0) { records throws(WriteAheadLogError) in
            if let cause = records.log.poisonCause { return .poisoned(cause) }
            guard first <= records.sequenced.upperBound else { throw .beyondEnd(next: records.sequenced.upperBound) }
            // It is gone already, or will be with what is pending.
            if first <= records.sequenced.lowerBound { return .staged(lastBatch(records), first) }
            return records.truncateFront(before: first)
        }
    }

    /// Stages something, and waits for room if there is none and the configuration says so.
    private func accept(
        records count: Int, bytes: Int, wakes: Bool = true,
        stage: (RecordLog) throws(WriteAheadLogError) -> RecordLog.Outcome
    ) throws(WriteAheadLogError) -> CompletionToken {
        lock.lock()
        while true {
            guard let records, !isShutDown else { throw refused(.shutDown) }
            let outcome: RecordLog.Outcome
            do throws(WriteAheadLogError) { outcome = try stage(records) } catch { throw refused(error) }
            switch outcome {
            case .staged(let batch, let position):
                let token = makeToken(
                    batch, AppendResult(position: position, byteCount: bytes, recordCount: count))
                hasStaged = true
                if !wakes { hasUntold = true }
                unlockAndWake(if: wakes && needsTurn(records))
                return token
            case .noSegment(let error):
                // The loop tries again to make one when it goes round, and may have no other reason to.
                unlockAndWake(if: true)
                throw .noSpace(error.description)
            case .poisoned(let cause): throw refused(.poisoned(cause.description))
            case .busy:
                // The loop makes the room: it cannot wait for itself.
                if configuration.overflow == .fails || isOnLoopThatRuns { throw refused(.pendingLimit) }
                waitForRoom(records)
            }
        }
    }

    private func refused(_ error: WriteAheadLogError) -> WriteAheadLogError {
        lock.unlock()
        return error
    }

    /// Starts the commit of what is waiting. The token is completed when all of it is.
    func submitPending() throws(WriteAheadLogError) -> CompletionToken {
        lock.lock()
        guard let records else { throw refused(.shutDown) }
        let token = makeToken(
            lastBatch(records), AppendResult(position: records.sequenced.upperBound, byteCount: 0, recordCount: 0))
        records.log.commitSoon()
        unlockAndWake(if: needsTurn(records))
        return token
    }

    /// With the lock held.
    private func makeToken(_ batch: BatchNumber, _ result: AppendResult) -> CompletionToken {
        defer { nextTokenID += 1 }
        return CompletionToken(loop: self, id: nextTokenID, batch: batch, result: result)
    }

    /// Why a batch that is answered did not become durable; nil if it did.
    func failure(of batch: BatchNumber) -> WriteAheadLogError? {
        if answers.isDurable(batch) { return nil }
        guard let cause = lock.withLock({ poison }) else { preconditionFailure("a batch ended without an answer") }
        return .poisoned(cause.description)
    }

    /// Has `tell` called when it is known what became of the batch: on the loop's thread, or at once on this one.
    func observe(_ batch: BatchNumber, _ tell: @escaping @Sendable () -> Void) {
        lock.lock()
        let isKnown = answers.isAnswered(batch)
        if !isKnown { observers.add(batch, tell) }
        lock.unlock()
        if isKnown { tell() }
    }
}
