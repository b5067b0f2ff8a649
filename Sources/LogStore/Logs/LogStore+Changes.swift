import CommitLog
import LogFormat

// The life of a log beside its records. Each change is a frame, and true for others when that is durable.
extension LogStore {
    /// Makes a log; the name is valid. One that is there with these settings is left as it is.
    public func create(_ name: UnsafeRawBufferPointer, _ settings: LogSettings) -> StoreChange {
        if let slot = unsafe table.slot(named: name) {
            let state = table[slot]
            let isEqual = (state.settingsSequenced?.settings ?? LogSettings()) == settings
            return isEqual ? .unchanged(after: state.lastBatch) : .conflict(after: state.lastBatch)
        }
        var fields = FieldWriter()
        unsafe writeCreation(name, settings, to: &fields)
        return staging(.create, fields) { timestamp in
            let slot = unsafe stageCreation(name, settings, fields, timestamp)
            return ChangeTicket(batch: table[slot].lastBatch, slot: slot, log: table[slot].id)
        }
    }

    /// Gives a log other settings.
    public func configure(_ slot: LogSlot, _ settings: LogSettings) -> StoreChange {
        let state = table[slot]
        if let refusal = goneRefusal(slot) { return .refused(refusal) }
        if (state.settingsSequenced?.settings ?? LogSettings()) == settings {
            return .unchanged(after: state.lastBatch)
        }
        var fields = FieldWriter()
        settings.write(to: &fields)
        return staging(.configure, fields) { timestamp in
            table[slot].settingsSequenced = LogSettingsBox(settings)
            return stageChange(.configure, slot, fields, timestamp)
        }
    }

    /// Lets a log take no more records, for ever.
    public func close(_ slot: LogSlot) -> StoreChange {
        if let refusal = goneRefusal(slot) { return .refused(refusal) }
        if table[slot].isClosedSequenced { return .unchanged(after: table[slot].lastBatch) }
        return staging(.close, FieldWriter()) { timestamp in
            table[slot].isClosedSequenced = true
            return stageChange(.close, slot, FieldWriter(), timestamp)
        }
    }

    /// Removes a log. Its name is free at once, for a log with another id.
    public func delete(_ slot: LogSlot) -> StoreChange {
        if let refusal = goneRefusal(slot) { return .refused(refusal) }
        return staging(.delete, FieldWriter()) { timestamp in
            table[slot].isDeletedSequenced = true
            return stageChange(.delete, slot, FieldWriter(), timestamp)
        }
    }

    /// Removes the records before an offset, which is at most the next one.
    public func trim(_ slot: LogSlot, before offset: RecordOffset) -> StoreChange {
        if let refusal = goneRefusal(slot) { return .refused(refusal) }
        let state = table[slot]
        guard offset <= state.sequencedNext else {
            return .refused(AppendRefusal(cause: .trimBeyondTail(next: state.sequencedNext), after: state.lastBatch))
        }
        guard offset > state.sequencedFirst else { return .unchanged(after: state.lastBatch) }
        return staging(.trim, FieldWriter()) { timestamp in
            table[slot].sequencedFirst = offset
            return stageChange(.trim, slot, FieldWriter(), timestamp, first: offset)
        }
    }

    /// The limit of requests a second of a log that has one.
    public func rateLimit(of name: UnsafeRawBufferPointer) -> (log: LogID, perSecond: UInt64)? {
        guard limitedLogCount > 0, let slot = unsafe table.slot(named: name),
            let limit = table[slot].settingsSequenced?.settings.appendsPerSecondMax
        else { return nil }
        return (table[slot].id, limit)
    }

    private func goneRefusal(_ slot: LogSlot) -> AppendRefusal? {
        guard table[slot].isDeletedSequenced else { return nil }
        return AppendRefusal(cause: .logNotFound, after: table[slot].lastBatch)
    }

    /// Stages a frame without records if there is room for it.
    private func staging(
        _ kind: FrameKind, _ fields: FieldWriter, _ stage: (Timestamp) -> ChangeTicket
    ) -> StoreChange {
        let bytes = FrameHeader.frameBytes(fieldsBytes: fields.bytes.count, recordCount: 0, payloadBytes: 0)
        if let refusal = wal.refusal(frameBytes: bytes, for: kind) { return StoreChange(refusal) }
        guard wal.pendingBytes + bytes <= configuration.pendingBytesMax else { return .pendingLimit }
        return .staged(stage(nextTimestamp()))
    }
}
