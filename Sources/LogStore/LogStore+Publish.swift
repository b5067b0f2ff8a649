import LogFormat
import WriteAheadLog

extension LogStore {
    /// Makes what a durable batch says visible.
    public func publish(_ batch: DurableBatch) {
        if batch.segment != activeIndex.segment { sealActiveIndex(next: batch.segment) }
        let batchEnd = batch.position + batch.byteCount
        while let frame = pending.popFirst(in: batch.number) {
            switch frame.change {
            case .append: publish(frame, batch, batchEnd)
            case .create:
                table[frame.slot].isDurable = true
                durableNextID = table[frame.slot].id.next
                durableLogCount += 1
                limitedLogCount += table[frame.slot].settings?.limitCount ?? 0
            case .configure:
                let settings = pending.popSettings()
                limitedLogCount += (settings?.limitCount ?? 0) - (table[frame.slot].settings?.limitCount ?? 0)
                table[frame.slot].settings = settings
            case .close: table[frame.slot].isClosed = true
            case .delete: publishDeletion(frame.slot)
            case .trim:
                let gone = table.trim(frame.slot, before: frame.first)
                recordCount -= gone.records
                recordBytes -= gone.bytes
                dropSealedPart(of: frame.slot)
            }
        }
    }

    /// Where all that is kept of a log is in the active segment, the sealed ones hold nothing of it.
    private func dropSealedPart(of slot: LogSlot) {
        let state = table[slot]
        guard !state.extents.isEmpty,
            !activeIndex.entries(last: state.lastActiveEntry, covering: state.first).isEmpty
        else { return }
        table.dropExtents(of: slot, count: state.extents.count)
    }

    private func publish(_ frame: PendingFrame, _ batch: DurableBatch, _ batchEnd: Position) {
        precondition(table[frame.slot].durableNext == frame.first, "a frame was published out of order")
        table[frame.slot].durableNext = frame.first + frame.count
        table[frame.slot].bytes += UInt64(frame.recordBytes)
        table[frame.slot].lastAppend = frame.timestamp
        recordCount += UInt64(frame.count)
        recordBytes += UInt64(frame.recordBytes)
        activeIndex.add(
            frame.slot, last: &table[frame.slot].lastActiveEntry,
            IndexEntry(
                offset: frame.first, timestamp: frame.timestamp,
                frame: UInt32(batch.position + frame.byteOffset - batch.segment),
                batchEnd: UInt32(batchEnd - batch.segment), payloadBytes: UInt32(frame.recordBytes),
                frameBytes: UInt32(frame.byteCount)))
    }

    private func publishDeletion(_ slot: LogSlot) {
        let state = table[slot]
        recordCount -= state.durableNext.rawValue - state.first.rawValue
        recordBytes -= state.bytes
        durableLogCount -= 1
        limitedLogCount -= state.settings?.limitCount ?? 0
        table.delete(slot)
    }
}

extension LogSettingsBox {
    /// 1 for a limit of appends, 0 for none.
    var limitCount: Int { settings.appendsPerSecondMax == nil ? 0 : 1 }
}
