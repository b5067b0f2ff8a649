import CommitLog
import Glibc
import LogFormat

extension LogStore {
    /// Segments that were packed, and bytes of the frames that were copied for that.
    public var packed: (segments: UInt64, bytes: UInt64) { (relocation.packedCount, relocation.movedBytes) }

    /// Does a slice of the packing. Returns the microseconds after which it wants to be called again, nil if it need not.
    func relocate() -> Int64? {
        switch relocation.phase {
        case .idle: return beginSurvey()
        case .surveying(let survey): return go(on: survey)
        case .packing(let packing): return go(on: packing)
        }
    }

    private func beginSurvey() -> Int64? {
        guard relocation.mayBeWanted, wal.segments.count > 1, wal.poisonCause == nil else { return nil }
        let wait = relocation.nextSurvey - clock.monotonicMicroseconds
        guard wait <= 0 else { return wait }
        relocation.mayBeWanted = false
        relocation.phase = .surveying(Survey())
        return 0
    }

    private func go(on survey: Survey) -> Int64? {
        var survey = survey
        let end = min(Int32(table.count), survey.nextSlot + Int32(LogStoreLimits.surveyedLogsPerTurn))
        while survey.nextSlot < end {
            survey.take(table[table.slot(at: survey.nextSlot)])
            survey.nextSlot += 1
        }
        guard Int(survey.nextSlot) >= table.count else {
            relocation.phase = .surveying(survey)
            return 0
        }
        relocation.nextSurvey = clock.monotonicMicroseconds + LogStoreLimits.surveyMicroseconds
        guard let segment = candidate(survey) else {
            relocation.phase = .idle
            return nil
        }
        relocation.phase = .packing(Packing(segment))
        return 0
    }

    /// The segment of which least is kept, if that is little enough. Where nothing is, it goes without being packed.
    private func candidate(_ survey: Survey) -> Segment? {
        let sealed = wal.segments.filter {
            $0.position < activeIndex.segment && table.isLive($0.position) && !relocation.refused.contains($0.position)
        }
        let live = { (segment: Segment) in Double(survey.liveBytes[segment.position] ?? 0) }
        return sealed.filter { live($0) <= LogStoreLimits.packedLiveShareMax * Double($0.byteCount) }
            .min { live($0) < live($1) }
    }

    private func go(on packing: Packing) -> Int64? {
        // The completion of the read, or of the batch, calls again.
        guard packing.readNumber == nil, wal.poisonCause == nil, wal.durable.number >= packing.lastBatch else {
            return nil
        }
        guard Int(packing.nextSlot) >= table.count else {
            noteLogs(packing)
            return 0
        }
        packing.movedBytes = 0
        while true {
            switch step(packing) {
            case .goOn: continue
            case .needs(let position, let bytes): return read(packing, at: position, bytes: bytes)
            case .full: return packing.movedBytes > 0 ? nil : LogStoreLimits.packingRetryMicroseconds
            case .finished: return end(packing)
            case .refused:
                relocation.refused.insert(packing.segment.position)
                return end(packing)
            }
        }
    }

    /// Finds some more of the logs that are in the segment.
    private func noteLogs(_ packing: Packing) {
        let end = min(Int32(table.count), packing.nextSlot + Int32(LogStoreLimits.surveyedLogsPerTurn))
        while packing.nextSlot < end {
            let slot = table.slot(at: packing.nextSlot)
            if table[slot].extents.contains(where: { $0.segment == packing.segment.position }) {
                packing.slots[table[slot].id] = slot
            }
            packing.nextSlot += 1
        }
    }

    /// The next segment may be wanted at once.
    private func end(_ packing: Packing) -> Int64? {
        // What was copied last is not durable yet.
        guard packing.movedBytes == 0 else { return nil }
        // Its records were read whole, and are elsewhere now: if not, something in it was unreadable.
        if table.isLive(packing.segment.position) {
            relocation.refused.insert(packing.segment.position)
        } else {
            relocation.packedCount += 1
        }
        relocation.phase = .idle
        relocation.mayBeWanted = true
        return max(0, relocation.nextSurvey - clock.monotonicMicroseconds)
    }

    // MARK: Reading

    private func read(_ packing: Packing, at position: Position, bytes: Int) -> Int64? {
        guard packing.failedReadCount < LogStoreLimits.failedPackingReadsMax else {
            relocation.refused.insert(packing.segment.position)
            return end(packing)
        }
        let wait = packing.nextRead - clock.monotonicMicroseconds
        guard wait <= 0 else { return wait }
        do throws(FileError) {
            guard let fetch = try fetch(packing.segment, at: position, bytes: bytes, into: packing.buffer) else {
                relocation.refused.insert(packing.segment.position)
                return end(packing)
            }
            packing.descriptor = fetch.descriptor
            packing.readStart = fetch.start
            packing.readBytesMin = position - fetch.start + bytes
        } catch {
            // No descriptor, for one: another time.
            return LogStoreLimits.surveyMicroseconds
        }
        packing.buffer.isReading = true
        packing.readNumber = nextReadNumber
        packing.nextRead = clock.monotonicMicroseconds + LogStoreLimits.packingReadMicroseconds
        nextReadNumber += 1
        return nil
    }

    /// Takes in the end of the disk read of a packing.
    func takeRelocationRead(_ result: Int32) {
        guard case .packing(let packing) = relocation.phase else {
            preconditionFailure("a disk read ended that no packing waits for")
        }
        wal.endRead(packing.descriptor)
        packing.readNumber = nil
        packing.buffer.isReading = false
        if result == readGivenUp { packing.buffer.giveUp() }
        packing.buffer.filled(from: packing.readStart, bytes: max(0, Int(result)))
        guard Int(result) < packing.readBytesMin else { return }
        // An error may pass, and so may a short read.
        packing.failedReadCount += 1
        packing.nextRead = clock.monotonicMicroseconds + LogStoreLimits.failedPackingMicroseconds
    }

    // MARK: Copying

    private enum PackingStep {
        case goOn
        case needs(Position, bytes: Int)
        /// No more fits for now.
        case full
        /// All of the segment was looked at.
        case finished
        /// Something is unreadable, or cannot be copied.
        case refused
    }

    private func step(_ packing: Packing) -> PackingStep {
        switch packing.cursor {
        case .batch(let position): stepBatch(packing, position)
        case .frame(let position, let batchEnd): stepFrame(packing, position, batchEnd)
        }
    }

    private func stepBatch(_ packing: Packing, _ position: Position) -> PackingStep {
        guard position < packing.segment.end else { return .finished }
        guard let head = unsafe packing.buffer.bytes(at: position, count: BatchHeader.byteCount) else {
            return .needs(position, bytes: BatchHeader.byteCount)
        }
        guard let header = unsafe try? BatchView.header(at: head), header.storeID == wal.storeID,
            header.position == position
        else { return .refused }
        packing.cursor = .frame(position + BatchHeader.byteCount, batchEnd: position + Int(header.byteCount))
        return .goOn
    }

    private func stepFrame(_ packing: Packing, _ position: Position, _ batchEnd: Position) -> PackingStep {
        let segment = packing.segment
        guard position < batchEnd else {
            packing.cursor = .batch(
                segment.position + roundedUp(batchEnd - segment.position, to: Int(segment.header.blockBytes)))
            return .goOn
        }
        guard let head = unsafe packing.buffer.bytes(at: position, count: FrameHeader.byteCount) else {
            return .needs(position, bytes: FrameHeader.byteCount)
        }
        guard let header = unsafe try? FrameHeader(decoding: head), Int(header.byteCount) <= batchEnd - position else {
            return .refused
        }
        let byteCount = Int(header.byteCount)
        if let slot = liveSlot(of: header, packing) {
            guard let bytes = unsafe packing.buffer.bytes(at: position, count: byteCount) else {
                return .needs(position, bytes: byteCount)
            }
            guard let frame = unsafe try? FrameView(checking: bytes) else { return .refused }
            if let stop = move(frame, slot, packing) { return stop }
        }
        packing.cursor = .frame(position + byteCount, batchEnd: batchEnd)
        return .goOn
    }

    /// The log of a frame whose records, or some of them, are kept and are read from this segment.
    private func liveSlot(of header: FrameHeader, _ packing: Packing) -> LogSlot? {
        guard header.kind == .append || header.kind == .moved, let slot = packing.slots[header.logID],
            table.isShown(slot)
        else { return nil }
        let state = table[slot]
        let first = max(state.first, header.firstOffset)
        guard header.firstOffset + Int(header.recordCount) > first, !state.isDeletedSequenced,
            state.extent(covering: first)?.segment == packing.segment.position
        else { return nil }
        return slot
    }

    /// Stages the copy of a frame. Nil when that is done.
    private func move(_ frame: FrameView, _ slot: LogSlot, _ packing: Packing) -> PackingStep? {
        let header = FrameHeader(
            kind: .moved, recordCount: frame.header.recordCount, logID: frame.header.logID,
            firstOffset: frame.header.firstOffset, timestamp: frame.header.timestamp,
            payloadBytes: frame.header.payloadBytes)
        let bytes = FrameHeader.frameBytes(
            fieldsBytes: 0, recordCount: Int(header.recordCount), payloadBytes: Int(header.payloadBytes))
        if bytes > wal.frameBytesMax { return .refused }
        // Requests come first.
        guard packing.movedBytes < LogStoreLimits.movedBytesPerBatch,
            wal.pendingBytes + bytes <= configuration.pendingBytesMax / 2,
            wal.refusal(frameBytes: bytes, for: .moved) == nil
        else { return .full }
        let records = unsafe frame.records
        let outcome = unsafe wal.append(header, fields: UnsafeRawBufferPointer(start: nil, count: 0)) {
            unsafe $0.copyMemory(from: records.lengths)
            unsafe $1.copyMemory(from: records.payload)
        }
        guard case .staged(let staged) = outcome else { preconditionFailure("a frame that fitted was not staged") }
        pending.append(
            PendingFrame(
                batch: staged.batch, slot: slot, change: .moved, first: header.firstOffset,
                count: Int(header.recordCount), recordBytes: Int(header.payloadBytes), byteOffset: staged.byteOffset,
                byteCount: staged.byteCount, timestamp: header.timestamp))
        packing.lastBatch = staged.batch
        packing.movedBytes += bytes
        relocation.movedBytes += UInt64(bytes)
        return nil
    }
}
