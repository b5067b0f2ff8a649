import LogFormat
import WriteAheadLog

/// Builds the store's state anew at a start: from the newest checkpoint, the index files of the sealed segments, and
/// the batches behind the checkpoint's anchor.
final class StoreReplay: RecoveryVisitor {
    var table = LogTable()
    var nextID = LogID(rawValue: 1)
    var lastTimestamp = Timestamp.zero
    /// The index of the segment that the replay is in.
    var activeIndex: ActiveIndex?
    /// Indexes of sealed segments whose files were missing or damaged, made anew.
    var lostIndexes: [(index: ActiveIndex, bytes: [UInt8])] = []
    private var slots: [LogID: LogSlot] = [:]
    private let directory: String
    private let fileSystem: any FileSystem
    private var storeID = StoreID(first: 0, second: 0)

    init(directory: String, fileSystem: any FileSystem) {
        self.directory = directory
        self.fileSystem = fileSystem
    }

    func restore(_ payload: UnsafeRawBufferPointer) throws(WriteAheadLogError) {
        do throws(FormatError) { unsafe try decode(payload) } catch {
            if error.needsNewerVersion { throw .unsupported(file: "checkpoint", what: error.description) }
            // Its checksum was right: only a defect writes such a thing.
            throw .damaged(Damage(file: "checkpoint", position: nil, cause: error.description))
        }
    }

    private func decode(_ payload: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = unsafe try CheckpointReader(payload)
        nextID = reader.nextID
        lastTimestamp = reader.lastTimestamp
        while let log = try reader.next() {
            guard unsafe log.name.withUnsafeBytes({ unsafe table.slot(named: $0) }) == nil, slots[log.id] == nil else {
                throw .badField
            }
            let slot = unsafe log.name.withUnsafeBytes { unsafe add($0, log.id, log.created) }
            table[slot].first = log.first
            table[slot].sequencedNext = log.next
            table[slot].durableNext = log.next
            table[slot].bytes = log.bytes
        }
    }

    private func add(_ name: UnsafeRawBufferPointer, _ id: LogID, _ created: Timestamp) -> LogSlot {
        let slot = unsafe table.add(name: name, id: id, created: created, isDurable: true)
        slots[id] = slot
        return slot
    }

    func index(_ segment: Segment) throws(WriteAheadLogError) {
        let path = DataDirectory(path: directory).indexPath(segment.position)
        if let rows = readIndex(path, segment) {
            for row in rows {
                guard let slot = slots[row.log] else { continue }
                table[slot].extents.append(IndexExtent(segment: segment.position, row))
            }
            return
        }
        var index = ActiveIndex(segment: segment.position)
        var batches = try SegmentBatches(segment, directory: directory, fileSystem: fileSystem)
        while let (batch, position) = try batches.next() { try add(batch, at: position, to: &index) }
        lostIndexes.append((index, index.writeOut(storeID: segment.header.storeID, into: &table)))
    }

    /// The table of an index file, nil if the file is missing or damaged: then it is made anew.
    private func readIndex(_ path: String, _ segment: Segment) -> [IndexFile.Row]? {
        guard let bytes = try? fileSystem.contents(path) else { return nil }
        return try? IndexFile.rows(contents: bytes, storeID: segment.header.storeID, segment: segment.position)
    }

    func begin(_ segment: Position) throws(WriteAheadLogError) {
        if let sealed = activeIndex {
            lostIndexes.append((sealed, sealed.writeOut(storeID: storeID, into: &table)))
        }
        activeIndex = ActiveIndex(segment: segment)
    }

    func replay(_ batch: inout BatchView, at position: Position) throws(WriteAheadLogError) {
        storeID = batch.header.storeID
        var frames = batch
        while let frame = try next(&frames, position) { try apply(frame.header, frame, position) }
        guard var index = activeIndex else { preconditionFailure("a batch was replayed before its segment began") }
        activeIndex = nil
        try add(batch, at: position, to: &index)
        activeIndex = index
    }

    /// Adds the frames of a batch to an index.
    private func add(_ batch: BatchView, at position: Position, to index: inout ActiveIndex) throws(WriteAheadLogError)
    {
        var frames = batch
        let end = position + Int(batch.header.byteCount)
        var place = frames.nextFrameOffset
        while let frame = try next(&frames, position) {
            // Lost records are found where they would be, so that nothing else is taken for them.
            if frame.header.kind == .append || frame.header.kind == .lost, let slot = slots[frame.header.logID] {
                index.add(
                    slot, last: &table[slot].lastActiveEntry, offset: frame.header.firstOffset, frame: position + place,
                    batchEnd: end)
            }
            place = frames.nextFrameOffset
        }
    }

    private func next(_ batch: inout BatchView, _ position: Position) throws(WriteAheadLogError) -> FrameView? {
        do throws(FormatError) { return try batch.nextFrame() } catch {
            throw .damaged(Damage(file: "wal", position: position, cause: error.description))
        }
    }

    private func apply(_ header: FrameHeader, _ frame: FrameView, _ position: Position) throws(WriteAheadLogError) {
        switch header.kind {
        case .append: try applyAppend(header, position)
        case .create: try applyCreate(header, frame, position)
        case .lost: try applyLost(header, frame, position)
        case .seal, .epoch: break
        case .configure, .close, .delete, .trim, .moved:
            throw .unsupported(file: "wal (position \(position.rawValue))", what: "a frame of the kind \(header.kind)")
        }
        lastTimestamp = max(lastTimestamp, header.timestamp)
    }

    private func applyCreate(
        _ header: FrameHeader, _ frame: FrameView, _ position: Position
    ) throws(WriteAheadLogError) {
        guard slots[header.logID] == nil else { return }
        guard let name = unsafe frame.fields.value(of: .logName), unsafe LogName.isValid(name),
            unsafe table.slot(named: name) == nil, header.logID.rawValue < .max
        else {
            throw .damaged(
                Damage(file: "wal", position: position, cause: "a log is made with a name or an id that cannot be"))
        }
        unsafe _ = add(name, header.logID, header.timestamp)
        nextID = max(nextID, header.logID.next)
    }

    private func applyLost(_ header: FrameHeader, _ frame: FrameView, _ position: Position) throws(WriteAheadLogError) {
        guard let lost = frame.lostRecords, header.logID.rawValue < .max else {
            throw .damaged(Damage(file: "wal", position: position, cause: "a frame about lost records makes no sense"))
        }
        guard let slot = slots[header.logID] else {
            nextID = max(nextID, header.logID.next)
            return
        }
        let next = table[slot].durableNext
        if lost.lowerBound < next { return }
        guard lost.lowerBound == next else {
            throw .damaged(
                Damage(
                    file: "wal", position: position,
                    cause:
                        "lost records from offset \(lost.lowerBound) on, where offset \(next) of log \(header.logID) comes"
                ))
        }
        table[slot].durableNext = lost.upperBound
        table[slot].sequencedNext = lost.upperBound
    }

    /// Refuses where the segments do not reach back to the first record of a log: one was removed that was not retired.
    func finish() throws(WriteAheadLogError) {
        for index in 0..<table.count {
            let slot = LogSlot(index: Int32(index))
            let state = table[slot]
            guard state.first < state.durableNext else { continue }
            if let extent = state.extents.first, extent.first <= state.first { continue }
            let active = activeIndex?.entries(last: state.lastActiveEntry, covering: state.first) ?? []
            guard active.isEmpty else { continue }
            throw .damaged(
                Damage(
                    file: "wal", position: nil,
                    cause:
                        "no segment holds the records of log \(String(decoding: table.name(of: slot), as: UTF8.self)) "
                        + "from offset \(state.first) on: the first segments are missing"))
        }
    }

    private func applyAppend(_ header: FrameHeader, _ position: Position) throws(WriteAheadLogError) {
        guard let slot = slots[header.logID] else {
            throw .damaged(Damage(file: "wal", position: position, cause: "records of the unknown log \(header.logID)"))
        }
        let next = table[slot].durableNext
        // The checkpoint may know it already.
        if header.firstOffset < next { return }
        guard header.firstOffset == next else {
            throw .damaged(
                Damage(
                    file: "wal", position: position,
                    cause:
                        "records from offset \(header.firstOffset) on, where offset \(next) of log \(header.logID) comes"
                ))
        }
        table[slot].durableNext = next + Int(header.recordCount)
        table[slot].sequencedNext = table[slot].durableNext
        table[slot].bytes += UInt64(header.payloadBytes)
    }
}
