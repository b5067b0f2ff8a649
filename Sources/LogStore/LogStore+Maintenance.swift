import CommitLog
import LogFormat

extension LogStore {
    /// Closes the index of the segment that is now sealed and has it put on the disk; begins the next one.
    func sealActiveIndex(next segment: Position) {
        let sealed = activeIndex
        let bytes = sealed.writeOut(storeID: wal.storeID, into: &table)
        putInPlace(sealed, bytes)
        activeIndex = ActiveIndex(segment: segment)
        // No entry of an active index names them any more.
        table.freeDeleted()
        checkpoints.isWanted = true
        relocation.mayBeWanted = true
    }

    /// Has an index file written; until it is there, reads use the index in memory.
    func putInPlace(_ index: ActiveIndex, _ bytes: [UInt8]) {
        unwrittenIndexes[index.segment] = index
        wal.writeIndex(bytes, of: index.segment)
    }

    /// Takes note of a file that the maintenance thread has finished. Returns the failure to be logged, if there is one:
    /// an index that is not in place is kept in memory and made anew at the next start, a checkpoint comes again.
    public func finished(_ file: FinishedFile) -> FileError? {
        switch file.kind {
        case .index(let segment) where file.error == nil: unwrittenIndexes[segment] = nil
        case .retired(let segment): unwrittenIndexes[segment] = nil
        case .index, .checkpoint: break
        }
        return file.error
    }

    /// Does a slice of what need not be done at once. Called at each turn of the loop, after `publish`. Returns the
    /// microseconds after which it wants to be called again, nil if it need not.
    @discardableResult
    public func tick() -> Int64? {
        // Also where nothing is appended, since what is full refuses everything.
        expireIdentities()
        stageRetention()
        gatherCheckpoint()
        return relocate()
    }

    /// Forgets some of those whose time is over.
    func expireIdentities() {
        let now = max(clock.now, lastTimestamp)
        producers.expire(now: now)
        producers.sweepSlice()
        keys.expire(now: now, durable: wal.durable.number)
    }

    private func gatherCheckpoint() {
        if checkpoint == nil && checkpoints.isDue(wal, now: clock.monotonicMicroseconds, hasDead: hasDeadSegments) {
            checkpoint = CheckpointBuilder(
                anchor: wal.scanAnchor, kept: keptSegments(), knownBelow: durableNextID, keys: keys.range)
        }
        guard var builder = checkpoint.take() else { return }
        let durable = wal.durable.number
        builder.addSlice(table, producers, keys, durable: durable)
        guard builder.isComplete(table, producers) else {
            checkpoint = builder
            return
        }
        wal.writeCheckpoint(
            builder.payload(nextID: nextID, lastTimestamp: lastTimestamp), anchor: builder.anchor, kept: builder.kept)
    }

    private var hasDeadSegments: Bool { wal.segments.contains { !isKept($0.position) } }

    /// Segments before the active one that hold records of logs. What is kept in them can only become less while the
    /// checkpoint is gathered: so this is what a start from it needs, at least.
    private func keptSegments() -> [Position] {
        wal.segments.dropLast().map(\.position).filter { isKept($0) }
    }

    /// The parts of the last segments may not have been counted yet: the index of a segment is closed only when the first
    /// batch of the next one is durable.
    private func isKept(_ segment: Position) -> Bool {
        segment >= activeIndex.segment || table.isLive(segment)
    }
}

extension ActiveIndex {
    /// The bytes of the index file; each log gets its extent, and its chain of active entries ends.
    func writeOut(storeID: StoreID, into table: inout LogTable) -> [UInt8] {
        let (appended, moved) = runs()
        let (bytes, rows) = IndexFile.encode(
            storeID: storeID, segment: segment, runs: (appended + moved).map { (table[$0.slot].id, $0.run) })
        for (place, row) in zip(appended, rows) {
            table[place.slot].lastActiveEntry = -1
            table.addAppended(IndexExtent(segment: segment, row), to: place.slot)
        }
        for (place, row) in zip(moved, rows.dropFirst(appended.count)) {
            table.note(IndexExtent(segment: segment, row), of: place.slot)
        }
        return bytes
    }
}

extension IndexExtent {
    init(segment: Position, _ row: IndexFile.Row) {
        self.init(
            segment: segment, first: row.first, end: row.end, timestamp: row.timestamp, payloadBytes: row.payloadBytes,
            frameBytes: row.frameBytes, blockStart: row.blockStart, entryCount: row.entryCount)
    }
}
