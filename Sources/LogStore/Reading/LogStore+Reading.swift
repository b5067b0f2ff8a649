import CommitLog
import Glibc
import LogFormat

extension LogStore {
    /// Begins a read of the durable records from an offset on, up to the durable tail. Below the first one that is kept its
    /// first step says so.
    public func beginRead(_ slot: LogSlot, from offset: RecordOffset) -> RangeRead {
        RangeRead(log: slot, from: offset, tail: max(table[slot].durableNext, offset))
    }

    /// Begins a read of the durable records from a start on, up to the durable tail.
    public func beginRead(_ slot: LogSlot, at start: ReadStart) -> RangeRead {
        let first = table[slot].first
        let tail = table[slot].durableNext
        switch start {
        case .offset(let offset): return beginRead(slot, from: offset)
        case .first: return RangeRead(log: slot, from: first, tail: tail, followsTrim: true)
        case .tail: return RangeRead(log: slot, from: tail, tail: tail, followsTrim: true)
        case .last(let count):
            let kept = tail.rawValue - first.rawValue
            return RangeRead(
                log: slot, from: RecordOffset(rawValue: tail.rawValue - min(count, kept)), tail: tail, followsTrim: true
            )
        case .time(let time):
            let search = TimeSearch(from: first, to: tail)
            let read = RangeRead(
                log: slot, from: search?.probe ?? tail, tail: tail, since: time, followsTrim: true)
            read.timeSearch = search
            return read
        }
    }

    /// Goes on with a read: gives records to the sink until it has enough, the tail is reached, or the disk is needed.
    public func step(_ read: RangeRead, into sink: RecordSink) -> ReadProgress {
        precondition(read.fetch == .none, "a read was stepped while the disk reads for it")
        guard isShown(read.log) else { return .gone }
        // Before what became of the disk's read: of a segment that was retired meanwhile there is nothing more to read.
        if let progress = checkTrim(read) { return progress }
        // Its records are elsewhere by now.
        if let segment = read.segment, wal.segment(containing: segment.position) == nil { read.locateAnew() }
        if read.fetchError != 0 {
            return .failed(FileError(operation: "read", path: "a segment", code: -read.fetchError))
        }
        let end = min(read.tail, table[read.log].durableNext)
        read.share = LogStoreLimits.stepBytesMax
        while read.next < end {
            if let progress = checkTrim(read) { return progress }
            if read.share <= 0 { return .paused }
            if read.entries.isEmpty || read.next >= read.entriesEnd {
                if let progress = locate(read) { return progress }
                continue
            }
            switch scan(read, sink) {
            case .goOn: continue
            case .enough: return .finished
            case .needs(let position, let bytes): return fetchData(read, at: position, bytes: bytes)
            case .damaged(let position): return .damaged(position: position)
            // What lies before the lost ones is given first.
            case .lost(let next):
                if read.hasGiven { return .finished }
                guard read.since > .zero else { return .lost(next: next) }
                // A time means the first record that there is.
                if read.timeSearch == nil { read.restart(at: next) } else { read.search { $0.noteLost() } }
            }
        }
        return .finished
    }

    /// What became of a read whose next record is no longer kept; nil if it goes on.
    private func checkTrim(_ read: RangeRead) -> ReadProgress? {
        let first = table[read.log].first
        guard read.next < first else { return nil }
        if read.hasGiven { return .finished }
        guard read.followsTrim else { return .trimmed(first: first) }
        let kept = min(first, read.tail)
        if read.timeSearch == nil { read.restart(at: kept) } else { read.search { $0.noteTrim(kept) } }
        return nil
    }

    /// The read that this ended disk read was for, to be stepped again; nil if it was cancelled.
    public func readEnded(number: UInt64, result: Int32) -> RangeRead? {
        if relocation.isReading(number) {
            takeRelocationRead(result)
            return nil
        }
        guard let read = reads.removeValue(forKey: number) else {
            preconditionFailure("a disk read ended that nobody waits for")
        }
        wal.endRead(read.descriptor)
        if result == readGivenUp { read.buffer.giveUp() }
        defer { read.fetch = .none }
        switch read.fetch {
        case .none: preconditionFailure("a disk read ended that the read did not begin")
        case .data(let start, let bytesMin):
            read.buffer.filled(from: start, bytes: max(0, Int(result)))
            // A file that ends before its segment does: asking again would bring no more.
            read.fetchError = result >= 0 && Int(result) < bytesMin ? -EIO : min(0, result)
        case .index(let extent): takeIndex(read, extent, result)
        }
        return read.isCancelled ? nil : read
    }

    /// The client is gone: the read is forgotten when its disk read has ended.
    public func cancel(_ read: RangeRead) {
        read.isCancelled = true
    }

    /// Finds the index entries that cover the next offset. Nil when they are there.
    private func locate(_ read: RangeRead) -> ReadProgress? {
        let state = table[read.log]
        let extent = state.extent(covering: read.next)
        let segment = extent?.segment ?? activeIndex.segment
        // The same place again would lead to the same again: what should be there is not.
        let place = RangeRead.Place(segment: segment, offset: read.next)
        if read.lastPlace == place { return .damaged(position: segment) }
        read.lastPlace = place
        read.entriesEnd = extent?.end ?? read.tail
        guard let extent else {
            return begin(read, segment, activeIndex.entries(last: state.lastActiveEntry, covering: read.next))
        }
        if segment == activeIndex.segment {
            return begin(read, segment, activeIndex.movedEntries(of: read.log, covering: read.next))
        }
        if let unwritten = unwrittenIndexes[segment] {
            return begin(read, segment, unwritten.entries(of: read.log, covering: read.next))
        }
        return fetchIndex(read, extent)
    }

    private func begin(_ read: RangeRead, _ position: Position, _ entries: [IndexEntry]) -> ReadProgress? {
        guard let segment = wal.segment(containing: position), !entries.isEmpty else {
            return .damaged(position: position)
        }
        read.segment = segment
        read.entries = entries
        read.entryIndex = 0
        read.cursor = nil
        return nil
    }

    private func fetchIndex(_ read: RangeRead, _ extent: IndexExtent) -> ReadProgress? {
        let bytes = IndexFile.blockBytes(entryCount: Int(extent.entryCount))
        read.buffer.reserve(max(bytes, LogStoreLimits.readBytes), alignment: wal.engine.blockBytes)
        do throws(FileError) {
            let target = unsafe UnsafeMutableRawBufferPointer(rebasing: read.buffer.memory[..<bytes])
            read.descriptor = unsafe try wal.beginIndexRead(
                extent.segment, at: UInt64(extent.blockStart), into: target, number: nextReadNumber)
        } catch {
            return beginWithoutIndex(read, extent)
        }
        wait(read, for: .index(extent))
        return .waiting
    }

    /// A missing or damaged index only costs time: the segment is scanned from its first batch on.
    private func beginWithoutIndex(_ read: RangeRead, _ extent: IndexExtent) -> ReadProgress? {
        guard let segment = wal.segment(containing: extent.segment) else { return .damaged(position: extent.segment) }
        let start = segment.firstBatchPosition
        read.segment = segment
        read.entries = [
            IndexEntry(
                offset: extent.first, timestamp: extent.timestamp, frame: UInt32(start - segment.position), batchEnd: 0,
                payloadBytes: extent.payloadBytes, frameBytes: extent.frameBytes)
        ]
        read.entryIndex = 0
        read.cursor = .batch(start)
        return nil
    }

    /// Takes the entries that were read.
    private func takeIndex(_ read: RangeRead, _ extent: IndexExtent, _ result: Int32) {
        // The next step says so.
        guard isShown(read.log) else { return }
        let bytes = IndexFile.blockBytes(entryCount: Int(extent.entryCount))
        var entries: [IndexEntry] = []
        if Int(result) == bytes {
            let block = unsafe UnsafeRawBufferPointer(rebasing: read.buffer.memory[..<bytes])
            // A damaged block counts as a missing one: the segment is scanned.
            entries = (unsafe try? IndexFile.entries(decoding: block, log: table[read.log].id)) ?? []
        }
        if let covering = entries.lastIndex(where: { $0.offset <= read.next }) { entries.removeFirst(covering) }
        // Where the segment has gone meanwhile, the next step looks for the records anew.
        _ = entries.isEmpty ? beginWithoutIndex(read, extent) : begin(read, extent.segment, entries)
    }

    private func fetchData(_ read: RangeRead, at position: Position, bytes: Int) -> ReadProgress {
        guard let segment = read.segment else { preconditionFailure("data was wanted of no segment") }
        do throws(FileError) {
            guard let fetch = try fetch(segment, at: position, bytes: bytes, into: read.buffer) else {
                return .damaged(position: position)
            }
            read.descriptor = fetch.descriptor
            wait(read, for: .data(fetch.start, bytesMin: position - fetch.start + bytes))
            return .waiting
        } catch {
            return .failed(error)
        }
    }

    /// Has the disk read at least `bytes` from a position of a segment on, and more if there is more; the read's number is
    /// the next one. Nil where the segment ends before.
    func fetch(
        _ segment: Segment, at position: Position, bytes: Int, into buffer: ReadBuffer
    ) throws(FileError) -> (start: Position, descriptor: Int32)? {
        let block = wal.engine.blockBytes
        let start = segment.position + (position - segment.position) / block * block
        let wanted = roundedUp(max(LogStoreLimits.readBytes, position - start + bytes), to: block)
        let count = min(wanted, segment.limit - start)
        guard position - start + bytes <= count else { return nil }
        buffer.reserve(count, alignment: block)
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<count])
        return (start, unsafe try wal.beginRead(segment, at: start, into: target, number: nextReadNumber))
    }

    private func wait(_ read: RangeRead, for fetch: RangeRead.Fetch) {
        read.fetch = fetch
        reads[nextReadNumber] = read
        nextReadNumber += 1
    }
}
