import CommitLog
import LogFormat

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
    var producers: Producers
    var keys: IdempotencyKeys
    private var slots: [LogID: LogSlot] = [:]
    /// Logs below it that are not there were deleted before the checkpoint.
    private(set) var knownBelow = LogID.none
    /// Logs that were deleted since.
    private var gone: Set<LogID> = []
    /// The answers of the group whose frames are being replayed.
    private var group: (field: GroupField, answers: [RequestAnswer], key: ReplayedKey?)?
    private let directory: String
    private let fileSystem: any FileSystem
    private var storeID = StoreID(first: 0, second: 0)

    init(
        directory: String, fileSystem: any FileSystem, identities: IdentityLimits = IdentityLimits()
    ) {
        self.directory = directory
        self.fileSystem = fileSystem
        producers = Producers(identities)
        keys = IdempotencyKeys(identities)
    }

    func restore(_ payload: UnsafeRawBufferPointer) throws(CommitLogError) {
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
        knownBelow = reader.knownBelow
        while let log = try reader.next() {
            guard unsafe log.name.withUnsafeBytes({ unsafe table.slot(named: $0) }) == nil, slots[log.id] == nil else {
                throw .badField
            }
            let slot = unsafe log.name.withUnsafeBytes { unsafe add($0, log.id, log.created) }
            table[slot].first = log.first
            table[slot].sequencedFirst = log.first
            table[slot].isClosed = log.isClosed
            table[slot].isClosedSequenced = log.isClosed
            setSettings(log.settings, of: slot)
            table[slot].sequencedNext = log.next
            table[slot].durableNext = log.next
            table[slot].bytes = log.bytes
            table[slot].lastAppend = log.lastAppend
        }
        try reader.restore(&producers, &keys)
    }

    private func setSettings(_ settings: LogSettings, of slot: LogSlot) {
        table[slot].settings = LogSettingsBox(settings)
        table[slot].settingsSequenced = table[slot].settings
    }

    private func add(_ name: UnsafeRawBufferPointer, _ id: LogID, _ created: Timestamp) -> LogSlot {
        let slot = unsafe table.add(name: name, id: id, created: created, isDurable: true)
        slots[id] = slot
        return slot
    }

    func index(_ segment: Segment) throws(CommitLogError) {
        let path = DataDirectory(path: directory).indexPath(segment.position)
        if let rows = readIndex(path, segment) {
            for row in rows {
                guard let slot = slots[row.log] else { continue }
                table.add(IndexExtent(segment: segment.position, row), to: slot)
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

    func begin(_ segment: Position) throws(CommitLogError) {
        if let sealed = activeIndex {
            lostIndexes.append((sealed, sealed.writeOut(storeID: storeID, into: &table)))
        }
        activeIndex = ActiveIndex(segment: segment)
    }

    func replay(_ batch: inout BatchView, at position: Position) throws(CommitLogError) {
        storeID = batch.header.storeID
        var frames = batch
        while let frame = try next(&frames, position) { try apply(frame.header, frame, position) }
        do throws(FormatError) { try requireWholeGroup() } catch {
            throw damage(position, "an append to several logs is not there whole")
        }
        guard var index = activeIndex else { preconditionFailure("a batch was replayed before its segment began") }
        activeIndex = nil
        try add(batch, at: position, to: &index)
        activeIndex = index
    }

    /// Adds the frames of a batch to an index.
    private func add(_ batch: BatchView, at position: Position, to index: inout ActiveIndex) throws(CommitLogError) {
        var frames = batch
        let end = position + Int(batch.header.byteCount)
        var place = frames.nextFrameOffset
        while let frame = try next(&frames, position) {
            if let slot = slots[frame.header.logID],
                let records = IndexedRecords(frame, at: position + place, batchEnd: end, segment: index.segment)
            {
                add(records, of: slot, to: &index)
            }
            place = frames.nextFrameOffset
        }
    }

    private func add(_ records: IndexedRecords, of slot: LogSlot, to index: inout ActiveIndex) {
        guard records.isMoved else {
            return index.add(slot, last: &table[slot].lastActiveEntry, records.entry, end: records.end)
        }
        index.addMoved(slot, records.entry, end: records.end)
        table.addMoved(IndexExtent(segment: index.segment, records.entry, end: records.end), to: slot)
    }

    private func next(_ batch: inout BatchView, _ position: Position) throws(CommitLogError) -> FrameView? {
        do throws(FormatError) { return try batch.nextFrame() } catch {
            throw .damaged(Damage(file: "wal", position: position, cause: error.description))
        }
    }

    private func apply(_ header: FrameHeader, _ frame: FrameView, _ position: Position) throws(CommitLogError) {
        lastTimestamp = max(lastTimestamp, header.timestamp)
        switch header.kind {
        case .seal, .epoch: return
        case .create: return try applyCreate(header, frame, position)
        case .lost: return try applyLost(header, frame, position)
        case .append: try applyIdentity(header, frame, position)
        case .configure, .close, .delete, .trim, .moved: break
        }
        guard let slot = slots[header.logID] else {
            if isGone(header.logID) { return }
            throw damage(position, "a frame of the unknown log \(header.logID)")
        }
        switch header.kind {
        case .append: try applyAppend(header, slot, position)
        case .configure: try applyConfiguration(frame, slot, position)
        case .close:
            table[slot].isClosed = true
            table[slot].isClosedSequenced = true
        case .delete:
            table.delete(slot)
            slots[header.logID] = nil
            gone.insert(header.logID)
        case .trim:
            guard header.firstOffset <= table[slot].durableNext else {
                throw damage(position, "a trim of log \(header.logID) to behind its tail")
            }
            _ = table.trim(slot, before: header.firstOffset)
        case .moved:
            guard header.firstOffset + Int(header.recordCount) <= table[slot].durableNext else {
                throw damage(position, "records of log \(header.logID) were moved that it never had")
            }
        case .create, .lost, .seal, .epoch: preconditionFailure("handled above")
        }
    }

    /// The log was deleted, before the checkpoint or since.
    private func isGone(_ log: LogID) -> Bool { log < knownBelow || gone.contains(log) }

    private func damage(_ position: Position, _ cause: String) -> CommitLogError {
        .damaged(Damage(file: "wal", position: position, cause: cause))
    }

    private func applyCreate(
        _ header: FrameHeader, _ frame: FrameView, _ position: Position
    ) throws(CommitLogError) {
        guard slots[header.logID] == nil, !isGone(header.logID) else { return }
        guard let name = unsafe frame.fields.value(of: .logName), unsafe LogName.isValid(name),
            header.logID.rawValue < .max
        else { throw damage(position, "a log is made with a name or an id that cannot be") }
        guard unsafe table.slot(named: name) == nil else {
            throw damage(position, "a log is made with a name that another has")
        }
        nextID = max(nextID, header.logID.next)
        let slot = unsafe add(name, header.logID, header.timestamp)
        setSettings(try settings(of: frame, position), of: slot)
    }

    private func applyConfiguration(
        _ frame: FrameView, _ slot: LogSlot, _ position: Position
    ) throws(CommitLogError) {
        setSettings(try settings(of: frame, position), of: slot)
    }

    private func settings(of frame: FrameView, _ position: Position) throws(CommitLogError) -> LogSettings {
        do throws(FormatError) { return try LogSettings(frame.fields) } catch {
            throw damage(position, "settings of a log make no sense")
        }
    }

    private func applyLost(_ header: FrameHeader, _ frame: FrameView, _ position: Position) throws(CommitLogError) {
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

    /// Refuses where the segments do not hold all records of a log: one was removed that was not retired.
    func finish() throws(CommitLogError) {
        // A checkpoint may be newer than what was replayed behind it.
        producers.forget { slots[$0] == nil }
        producers.putUsesInOrder()
        keys.putInOrder { slots[$0] != nil }
        for index in 0..<table.count {
            let slot = table.slot(at: Int32(index))
            let state = table[slot]
            guard state.isShown, state.first < state.durableNext else { continue }
            var reached = state.first
            for extent in state.extents where extent.first <= reached { reached = max(reached, extent.end) }
            if reached >= state.durableNext { continue }
            let active = activeIndex?.entries(last: state.lastActiveEntry, covering: reached) ?? []
            guard active.isEmpty else { continue }
            throw .damaged(
                Damage(
                    file: "wal", position: nil,
                    cause:
                        "no segment holds the records of log \(String(decoding: table.name(of: slot), as: UTF8.self)) "
                        + "from offset \(reached) on: segments are missing"))
        }
    }

    private func applyAppend(
        _ header: FrameHeader, _ slot: LogSlot, _ position: Position
    ) throws(CommitLogError) {
        let next = table[slot].durableNext
        // The checkpoint may know it already.
        if header.firstOffset < next { return }
        guard header.firstOffset == next else {
            throw damage(
                position,
                "records from offset \(header.firstOffset) on, where offset \(next) of log \(header.logID) comes")
        }
        table[slot].durableNext = next + Int(header.recordCount)
        table[slot].sequencedNext = table[slot].durableNext
        table[slot].bytes += UInt64(header.payloadBytes)
        table[slot].lastAppend = header.timestamp
    }
}

// Who sent an append.
extension StoreReplay {
    /// A key in a frame, and what it was used with.
    struct ReplayedKey {
        let key: [UInt8]
        let fingerprint: BodyFingerprint
    }

    private func applyIdentity(
        _ header: FrameHeader, _ frame: FrameView, _ position: Position
    ) throws(CommitLogError) {
        do throws(FormatError) {
            if let value = unsafe frame.fields.value(of: .producer) {
                producers.note(
                    unsafe try ProducerField(decoding: value), in: header.logID, RequestAnswer(header), durable: .zero)
            }
            let key = try replayedKey(frame)
            if let value = unsafe frame.fields.value(of: .group) {
                return unsafe try take(GroupField(decoding: value), key, RequestAnswer(header))
            }
            try requireWholeGroup()
            if let key { note(key, in: header.logID, [RequestAnswer(header)]) }
        } catch {
            throw damage(position, "what an append says of its sender, or its group, makes no sense")
        }
    }

    private func replayedKey(_ frame: FrameView) throws(FormatError) -> ReplayedKey? {
        guard let key = unsafe frame.fields.value(of: .idempotencyKey) else { return nil }
        guard let digest = unsafe frame.fields.value(of: .bodyFingerprint),
            (1...LogStoreLimits.keyLengthBytesMax).contains(key.count)
        else { throw .badField }
        var reader = unsafe ByteReader(digest)
        let fingerprint = BodyFingerprint(low: try reader.read(), high: try reader.read())
        return unsafe ReplayedKey(key: Array(key), fingerprint: fingerprint)
    }

    private func note(_ key: ReplayedKey, in log: LogID, _ answers: [RequestAnswer]) {
        unsafe key.key.withUnsafeBytes { unsafe keys.note($0, in: log, key.fingerprint, answers) }
    }

    /// The frames of a group come one behind the other.
    private func take(_ field: GroupField, _ key: ReplayedKey?, _ answer: RequestAnswer) throws(FormatError) {
        if field.index == 0 {
            try requireWholeGroup()
            group = (field, [], key)
        }
        guard let open = group, open.field.id == field.id, open.field.count == field.count,
            open.answers.count == Int(field.index)
        else { throw .badField }
        let answers = open.answers + [answer]
        group = (field, answers, open.key)
        guard answers.count == Int(field.count) else { return }
        group = nil
        if let key = open.key { note(key, in: .none, answers) }
    }

    /// Throws where a group has begun and not ended: its frames are of one batch, all there or none.
    fileprivate func requireWholeGroup() throws(FormatError) {
        guard group == nil else { throw .badField }
    }
}
