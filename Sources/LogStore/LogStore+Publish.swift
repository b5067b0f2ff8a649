import CommitLog
import LogFormat

extension LogStore {
    /// Makes what a durable batch says visible.
    public func publish(_ batch: DurableBatch) {
        if batch.segment != activeIndex.segment { sealActiveIndex(next: batch.segment) }
        let batchEnd = batch.position + batch.byteCount
        while let frame = pending.popFirst(in: batch.number) {
            switch frame.change {
            case .append: publish(frame, entry(of: frame, batch, batchEnd))
            case .moved: publishMoved(frame, entry(of: frame, batch, batchEnd))
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
            case .delete:
                publishDeletion(frame.slot)
                relocation.mayBeWanted = true
            case .trim:
                let gone = table.trim(frame.slot, before: frame.first)
                recordCount -= gone.records
                recordBytes -= gone.bytes
                relocation.mayBeWanted = true
            }
        }
    }

    private func entry(of frame: PendingFrame, _ batch: DurableBatch, _ batchEnd: Position) -> IndexEntry {
        IndexEntry(
            offset: frame.first, timestamp: frame.timestamp,
            frame: UInt32(batch.position + frame.byteOffset - batch.segment),
            batchEnd: UInt32(batchEnd - batch.segment), payloadBytes: UInt32(frame.recordBytes),
            frameBytes: UInt32(frame.byteCount))
    }

    private func publish(_ frame: PendingFrame, _ entry: IndexEntry) {
        precondition(table[frame.slot].durableNext == frame.first, "a frame was published out of order")
        table[frame.slot].durableNext = frame.first + frame.count
        table[frame.slot].bytes += UInt64(frame.recordBytes)
        table[frame.slot].lastAppend = frame.timestamp
        recordCount += UInt64(frame.count)
        recordBytes += UInt64(frame.recordBytes)
        activeIndex.add(
            frame.slot, last: &table[frame.slot].lastActiveEntry, entry, end: frame.first + frame.count)
    }

    /// The copy is durable: it is what is read from now on.
    private func publishMoved(_ frame: PendingFrame, _ entry: IndexEntry) {
        let end = frame.first + frame.count
        activeIndex.addMoved(frame.slot, entry, end: end)
        table.addMoved(IndexExtent(segment: activeIndex.segment, entry, end: end), to: frame.slot)
    }

    private func publishDeletion(_ slot: LogSlot) {
        let state = table[slot]
        recordCount -= state.durableNext.rawValue - state.first.rawValue
        recordBytes -= state.bytes
        durableLogCount -= 1
        limitedLogCount -= state.settings?.limitCount ?? 0
        producers.forget(of: state.id)
        table.delete(slot)
    }
}

extension LogSettingsBox {
    /// 1 for a limit of appends, 0 for none.
    var limitCount: Int { settings.appendsPerSecondMax == nil ? 0 : 1 }
}
