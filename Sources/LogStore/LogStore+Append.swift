import CommitLog
import LogFormat

extension LogStore {
    /// Stages the records behind the last of the log, making the log if it is not there and that is allowed.
    /// The name is valid. Nothing is allocated for a log that is there.
    public func append(to name: UnsafeRawBufferPointer, _ body: RecordBody) -> StoreAppend {
        guard let slot = unsafe table.slot(named: name) else {
            return unsafe append(to: name, body, AppendOptions())
        }
        if let refusal = closedRefusal(slot) { return .refused(refusal) }
        let bytes = frameBytes(fieldsBytes: 0, body)
        if let refusal = wal.refusal(frameBytes: bytes) { return StoreAppend(refusal) }
        guard wal.pendingBytes + bytes <= configuration.pendingBytesMax else { return .pendingLimit }
        return .staged(stage(body, FieldWriter(), slot, nextTimestamp()))
    }

    /// As the other one, for a request with a condition or an identity. In this order: is it a repeat; is the log closed;
    /// does the condition hold; is there room.
    public func append(
        to name: UnsafeRawBufferPointer, _ body: RecordBody, _ options: AppendOptions
    ) -> StoreAppend {
        let known = unsafe table.slot(named: name)
        if known == nil, let refusal = unsafe missingRefusal(of: name) { return .refused(refusal) }
        if options.identity.isGiven { expireIdentities() }
        switch unsafe verdict(on: options.identity, name, known) {
        case .repeated(let answer): return .repeated(answer.ticket)
        case .refused(let refusal): return .refused(refusal)
        case .new: break
        }
        if let refusal = unsafe refusal(of: name, known, options.condition, next: nil) { return .refused(refusal) }
        var created = FieldWriter()
        let settings = LogSettings(contentType: options.contentType)
        if known == nil { unsafe writeCreation(name, settings, to: &created) }
        var fields = FieldWriter()
        options.identity.write(to: &fields)
        let bytes = creationBytes(created) + frameBytes(fieldsBytes: fields.bytes.count, body)
        if let refusal = wal.refusal(frameBytes: bytes) { return StoreAppend(refusal) }
        guard wal.pendingBytes + bytes <= configuration.pendingBytesMax else { return .pendingLimit }
        let timestamp = nextTimestamp()
        let slot = unsafe known ?? stageCreation(name, settings, created, timestamp)
        let ticket = stage(body, fields, slot, timestamp)
        note(options.identity, in: table[slot].id, [RequestAnswer(ticket)])
        return .staged(ticket)
    }

    // MARK: Judging

    /// What is known of a request's identity in a log.
    private func verdict(
        on identity: RequestIdentity, _ name: UnsafeRawBufferPointer, _ slot: LogSlot?
    ) -> IdentityVerdict {
        switch identity {
        case .none: return .new
        case .producer(let id, let epoch, let sequence):
            let field = unsafe ProducerField(id: id, epoch: epoch, sequence: sequence)
            return producers.verdict(
                on: field, in: slot.map { table[$0].id }, lastBatch: unsafe lastBatch(of: name),
                durable: wal.durable.number)
        case .key(let key, let fingerprint):
            if let slot, let entry = unsafe keys.entry(of: key, in: table[slot].id) {
                let answer = entry.answers[0]
                if entry.fingerprint == fingerprint { return .repeated(answer) }
                return .refused(AppendRefusal(cause: .keyReused, after: answer.batch))
            }
            return keys.refusal(now: clock.now).map { .refused($0) } ?? .new
        }
    }

    /// Why a log that is not there is not made; nil if it is.
    private func missingRefusal(of name: UnsafeRawBufferPointer) -> AppendRefusal? {
        if configuration.autoCreate { return nil }
        return AppendRefusal(cause: .logNotFound, after: unsafe lastBatch(of: name))
    }

    private func closedRefusal(_ slot: LogSlot) -> AppendRefusal? {
        guard table[slot].isClosedSequenced else { return nil }
        return AppendRefusal(cause: .logClosed(next: table[slot].sequencedNext), after: table[slot].lastBatch)
    }

    /// Why an append is not taken: the log is missing or closed, or the condition does not hold. `next` is where the log
    /// will end before this append, nil for where it is.
    func refusal(
        of name: UnsafeRawBufferPointer, _ slot: LogSlot?, _ condition: AppendCondition, next: RecordOffset?
    ) -> AppendRefusal? {
        if slot == nil, let refusal = unsafe missingRefusal(of: name) { return refusal }
        if let slot, let refusal = closedRefusal(slot) { return refusal }
        let next = next ?? slot.map { table[$0].sequencedNext } ?? .zero
        let id = slot.map { table[$0].id }
        let holds: Bool
        switch condition {
        case .none: return nil
        case .next(let wanted, let log): holds = wanted == next && (log == nil || log == id)
        case .absent: holds = next == .zero
        }
        if holds { return nil }
        return AppendRefusal(cause: .conditionFailed(next: next, log: id), after: unsafe lastBatch(of: name))
    }

    /// The last batch that says something about the logs of a name.
    func lastBatch(of name: UnsafeRawBufferPointer) -> BatchNumber {
        unsafe table.newestSlot(named: name).map { table[$0].lastBatch } ?? .zero
    }

    // MARK: Staging

    func frameBytes(fieldsBytes: Int, _ body: RecordBody) -> Int {
        FrameHeader.frameBytes(
            fieldsBytes: fieldsBytes, recordCount: body.recordCount, payloadBytes: body.payloadBytes)
    }

    /// Bytes of a frame that makes a log; none where there are no fields for it.
    func creationBytes(_ fields: FieldWriter) -> Int {
        fields.bytes.isEmpty
            ? 0 : FrameHeader.frameBytes(fieldsBytes: fields.bytes.count, recordCount: 0, payloadBytes: 0)
    }

    /// The fields of the frame that makes a log.
    func writeCreation(_ name: UnsafeRawBufferPointer, _ settings: LogSettings, to fields: inout FieldWriter) {
        unsafe fields.append(.logName, name)
        settings.write(to: &fields)
    }

    /// Has a repeat of a staged request recognised from now on.
    func note(_ identity: RequestIdentity, in log: LogID, _ answers: [RequestAnswer]) {
        switch identity {
        case .none: return
        case .producer(let id, let epoch, let sequence):
            unsafe producers.note(
                ProducerField(id: id, epoch: epoch, sequence: sequence), in: log, answers[0],
                durable: wal.durable.number)
        case .key(let key, let fingerprint): unsafe keys.note(key, in: log, fingerprint, answers)
        }
    }

    /// Stages records that fit.
    func stage(_ body: RecordBody, _ fields: FieldWriter, _ slot: LogSlot, _ timestamp: Timestamp) -> AppendTicket {
        let first = table[slot].sequencedNext
        let header = FrameHeader(
            kind: .append, recordCount: UInt32(body.recordCount), logID: table[slot].id, firstOffset: first,
            timestamp: timestamp, payloadBytes: UInt32(body.payloadBytes))
        let outcome = unsafe fields.bytes.withUnsafeBytes {
            unsafe wal.append(header, fields: $0) { lengths, payload in
                unsafe body.write(lengths: lengths, payload: payload)
            }
        }
        guard case .staged(let frame) = outcome else { preconditionFailure("a frame that fitted was not staged") }
        table[slot].sequencedNext = first + body.recordCount
        table[slot].lastBatch = frame.batch
        pending.append(
            PendingFrame(
                batch: frame.batch, slot: slot, change: .append, first: first, count: body.recordCount,
                recordBytes: body.payloadBytes, byteOffset: frame.byteOffset, byteCount: frame.byteCount,
                timestamp: timestamp))
        return AppendTicket(batch: frame.batch, first: first, count: body.recordCount, timestamp: timestamp)
    }

    /// Stages the frame that makes a log, which fits. It is visible to nobody before it is durable.
    func stageCreation(
        _ name: UnsafeRawBufferPointer, _ settings: LogSettings, _ fields: FieldWriter, _ timestamp: Timestamp
    ) -> LogSlot {
        let slot = unsafe table.add(name: name, id: nextID, created: timestamp, isDurable: false)
        nextID = nextID.next
        table[slot].settings = LogSettingsBox(settings)
        table[slot].settingsSequenced = table[slot].settings
        stageChange(.create, slot, fields, timestamp)
        return slot
    }

    /// Stages a frame without records about a log, which fits.
    @discardableResult
    func stageChange(
        _ change: PendingFrame.Change, _ slot: LogSlot, _ fields: FieldWriter, _ timestamp: Timestamp,
        first: RecordOffset = .zero
    ) -> ChangeTicket {
        let id = table[slot].id
        let header = FrameHeader(
            kind: change.frameKind, recordCount: 0, logID: id, firstOffset: first, timestamp: timestamp,
            payloadBytes: 0)
        let outcome = unsafe fields.bytes.withUnsafeBytes { unsafe wal.append(header, fields: $0) { _, _ in } }
        guard case .staged(let frame) = outcome else { preconditionFailure("a frame that fitted was not staged") }
        table[slot].lastBatch = frame.batch
        let pendingFrame = PendingFrame(
            batch: frame.batch, slot: slot, change: change, first: first, count: 0, recordBytes: 0,
            byteOffset: frame.byteOffset, byteCount: frame.byteCount, timestamp: timestamp)
        if case .configure = change {
            pending.append(pendingFrame, settings: table[slot].settingsSequenced)
        } else {
            pending.append(pendingFrame)
        }
        return ChangeTicket(batch: frame.batch, slot: slot, log: id)
    }

    /// The time of day, and always later than the last one, also across restarts.
    func nextTimestamp() -> Timestamp {
        lastTimestamp = max(clock.now, lastTimestamp.next)
        return lastTimestamp
    }
}

extension PendingFrame.Change {
    fileprivate var frameKind: FrameKind {
        switch self {
        case .create: .create
        case .append: .append
        case .configure: .configure
        case .close: .close
        case .delete: .delete
        case .trim: .trim
        case .moved: .moved
        }
    }
}
