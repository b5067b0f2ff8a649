import LogFormat
import WriteAheadLog

extension LogStore {
    /// Closes the index of the segment that is now sealed and has it put on the disk; begins the next one.
    func sealActiveIndex(next segment: Position) {
        let sealed = activeIndex
        let bytes = sealed.writeOut(storeID: wal.storeID, into: &table)
        putInPlace(sealed, bytes)
        activeIndex = ActiveIndex(segment: segment)
        // No entry of an active index names them any more.
        table.freeDeleted()
        wantsCheckpoint = true
    }

    /// Has an index file written; until it is there, reads use the index in memory.
    func putInPlace(_ index: ActiveIndex, _ bytes: [UInt8]) {
        unwrittenIndexes[index.segment] = index
        wal.writeIndex(bytes, of: index.segment)
    }

    /// Takes note of a file that the maintenance thread has finished. Returns the failure to be logged, if there is one:
    /// an index that is not in place is kept in memory and made anew at the next start, a checkpoint comes again.
    public func finished(_ file: FinishedFile) -> FileError? {
        if case .index(let segment) = file.kind, file.error == nil { unwrittenIndexes[segment] = nil }
        return file.error
    }

    /// Does a slice of what need not be done at once. Called at each turn of the loop, after `publish`.
    public func tick() {
        // Also where nothing is appended, since what is full refuses everything.
        let now = max(clock.now, lastTimestamp)
        producers.expire(now: now)
        keys.expire(now: now)
        if checkpoint == nil && wantsCheckpoint {
            wantsCheckpoint = false
            checkpoint = CheckpointBuilder(anchor: wal.scanAnchor, knownBelow: durableNextID, keys: keys.range)
        }
        guard var builder = checkpoint.take() else { return }
        let durable = wal.durable.number
        builder.addSlice(table, producers, keys, durable: durable)
        guard builder.isComplete(table, producers) else {
            checkpoint = builder
            return
        }
        wal.writeCheckpoint(
            builder.payload(nextID: nextID, lastTimestamp: lastTimestamp), anchor: builder.anchor)
    }
}

extension ActiveIndex {
    /// The bytes of the index file; each log gets its extent, and its chain of active entries ends.
    func writeOut(storeID: StoreID, into table: inout LogTable) -> [UInt8] {
        let groups = grouped()
        let (bytes, rows) = IndexFile.encode(
            storeID: storeID, segment: segment, logs: groups.map { (table[$0.slot].id, $0.entries) })
        for (group, row) in zip(groups, rows) {
            table[group.slot].lastActiveEntry = -1
            table[group.slot].extents.append(IndexExtent(segment: segment, row))
        }
        return bytes
    }
}

extension IndexExtent {
    init(segment: Position, _ row: IndexFile.Row) {
        self.init(
            segment: segment, first: row.first, timestamp: row.timestamp, payloadBytes: row.payloadBytes,
            frameBytes: row.frameBytes, blockStart: row.blockStart, entryCount: row.entryCount)
    }
}
