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
        var reader = unsafe ByteReader(payload)
        let version: UInt32 = try reader.read()
        guard version == CheckpointBuilder.version else { throw .unsupportedVersion(version) }
        let count: UInt32 = try reader.read()
        nextID = LogID(rawValue: try reader.read())
        lastTimestamp = Timestamp(rawValue: try reader.read())
        for _ in 0..<count {
            let id = LogID(rawValue: try reader.read())
            let created = Timestamp(rawValue: try reader.read())
            let first = RecordOffset(rawValue: try reader.read())
            let next = RecordOffset(rawValue: try reader.read())
            let bytes: UInt64 = try reader.read()
            let name = unsafe try reader.readBytes(Int(try reader.read(UInt8.self)))
            guard unsafe LogName.isValid(name), unsafe table.slot(named: name) == nil, first <= next,
                slots[id] == nil, id < nextID, bytes <= UInt64(Int64.max)
            else { throw .badField }
            let slot = unsafe add(name, id, created)
            table[slot].first = first
            table[slot].sequencedNext = next
            table[slot].durableNext = next
            table[slot].bytes = bytes
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
        return unsafe bytes.withUnsafeBytes { buffer in
            unsafe try? IndexFile.rows(decoding: buffer, storeID: segment.header.storeID, segment: segment.position)
        }
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
            if frame.header.kind == .append, let slot = slots[frame.header.logID] {
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
