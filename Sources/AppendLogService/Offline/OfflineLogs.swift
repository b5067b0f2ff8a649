import CommitLog
import LogFormat
import LogStore

/// The logs that the frames of a data directory speak of, followed frame by frame, over what is missing between them.
public struct OfflineLogs {
    /// One log.
    public struct Log: Equatable, Sendable {
        public let name: [UInt8]
        /// The offset that the next record would get.
        public fileprivate(set) var next = RecordOffset.zero
        /// Records that are there, and their bytes.
        public fileprivate(set) var recordCount: UInt64 = 0
        public fileprivate(set) var bytes: UInt64 = 0
        /// As far as damaged frames at its end say that it went.
        fileprivate var hinted = RecordOffset.zero
        /// Records below were gone by intent.
        fileprivate var first = RecordOffset.zero
        fileprivate var isClosed = false
        fileprivate var settings = LogSettings()
        /// Where the frame is that said so.
        fileprivate var settingsPosition = Position.zero
    }

    /// What has to stand before a frame, so that what follows it makes sense.
    public enum Insertion: Equatable, Sendable {
        /// The frame that made the log is gone. `isNameKnown`: a checkpoint still has its name.
        case create(LogID, name: [UInt8], created: Timestamp, settings: LogSettings = LogSettings(), isNameKnown: Bool)
        case lost(LogID, Range<RecordOffset>)
        /// The frames that said so were in segments that are retired; a checkpoint still says it.
        case configure(LogID, LogSettings)
        case trim(LogID, before: RecordOffset)
        case close(LogID)
    }

    /// What became of a frame.
    public struct Taking: Equatable, Sendable {
        public var insertions: [Insertion] = []
        /// It contradicts the frames before it and cannot be kept.
        public var refusal: String?
        /// It is kept, and is not as it should be.
        public var complaint: String?
        /// Its log was deleted, and a checkpoint says so: there is no log that it could be told of.
        public var isOfDeletedLog = false
    }

    public private(set) var byID: [LogID: Log] = [:]
    /// The id of the next log, as far as is known.
    public private(set) var nextID = LogID(rawValue: 1)
    public private(set) var lastTimestamp = Timestamp.zero
    /// The last one of records: a log that a repair has made again keeps its old time.
    private var lastAppend = Timestamp.zero
    /// Bytes of frames of which nothing is known.
    public private(set) var unknownBytes = 0
    /// Records that no frame held when those behind them came, and that none has brought since.
    public private(set) var gaps: [LogID: [Range<RecordOffset>]] = [:]
    private var names: Set<[UInt8]> = []
    private var deleted: Set<LogID> = []
    /// What the newest checkpoint says.
    private var summed: [LogID: CheckpointReader.Log] = [:]
    /// Logs below it that the newest checkpoint does not name were deleted.
    private var knownBelow = LogID.none
    /// What frames before it say, the newest checkpoint knows as well or better.
    private var anchor = Position.zero

    public init() {}

    /// `checkpoint` is the payload of the newest whole one: truth for what segments said that are not there any more.
    /// Throws a `FormatError` where it makes no sense.
    public init(checkpoint: [UInt8], anchor: Position) throws(FormatError) {
        self.anchor = anchor
        let result: Result<Void, FormatError> = unsafe checkpoint.withUnsafeBytes { bytes in
            do throws(FormatError) {
                var reader = unsafe try CheckpointReader(bytes)
                nextID = reader.nextID
                knownBelow = reader.knownBelow
                while let log = try reader.next() {
                    summed[log.id] = log
                    names.insert(log.name)
                }
                return .success(())
            } catch { return .failure(error) }
        }
        try result.get()
    }

    /// Takes a frame.
    public mutating func take(_ frame: FrameView, at position: Position) -> Taking {
        let header = frame.header
        guard header.logID.rawValue < .max else { return Taking(refusal: "no log has the id \(header.logID)") }
        if wasDeleted(header.logID) {
            lastTimestamp = max(lastTimestamp, header.timestamp)
            return Taking(isOfDeletedLog: true)
        }
        var taking: Taking
        switch header.kind {
        case .create: taking = takeCreate(frame)
        case .append:
            taking = takeRecords(header, header.firstOffset..<header.firstOffset + Int(header.recordCount))
            if taking.refusal == nil {
                byID[header.logID]?.bytes += UInt64(header.payloadBytes)
                byID[header.logID]?.recordCount += UInt64(header.recordCount)
            }
        case .lost:
            guard let lost = frame.lostRecords else {
                return Taking(refusal: "a frame about lost records makes no sense")
            }
            if lost.isEmpty {
                nextID = max(nextID, header.logID.next)
                return Taking()
            }
            taking = takeRecords(header, lost)
            if taking.refusal == nil { gaps[header.logID, default: []].append(lost) }
        case .seal, .epoch: return Taking()
        case .configure, .close, .delete, .trim: taking = takeChange(header)
        case .moved:
            taking = takeMoved(header, header.firstOffset..<header.firstOffset + Int(header.recordCount))
        }
        guard taking.refusal == nil else { return taking }
        if header.kind == .create || header.kind == .configure { noteSettings(of: frame, position) }
        if header.kind == .append {
            if header.timestamp < lastAppend { taking.complaint = "a timestamp lies before the last one" }
            lastAppend = max(lastAppend, header.timestamp)
        }
        lastTimestamp = max(lastTimestamp, header.timestamp)
        return taking
    }

    private mutating func takeCreate(_ frame: FrameView) -> Taking {
        let id = frame.header.logID
        guard let value = unsafe frame.fields.value(of: .logName), unsafe LogName.isValid(value) else {
            return Taking(refusal: "a log is made without a name")
        }
        let name = unsafe Array(value)
        guard byID[id] == nil else { return Taking(refusal: "log \(id) is made twice") }
        // The checkpoint may know the name for a later log, and this one's deletion is to come.
        let isSummed = summed.values.contains { $0.name == name && $0.id >= id }
        guard !names.contains(name) || isSummed && !byID.values.contains(where: { $0.name == name }) else {
            return Taking(refusal: "log \(id) is made with the name of another one")
        }
        names.insert(name)
        byID[id] = Log(name: name)
        nextID = max(nextID, id.next)
        return Taking()
    }

    private mutating func noteSettings(of frame: FrameView, _ position: Position) {
        // What makes no sense is a defect that the next start names.
        guard let settings = try? LogSettings(frame.fields) else { return }
        byID[frame.header.logID]?.settings = settings
        byID[frame.header.logID]?.settingsPosition = position
    }

    private mutating func takeChange(_ header: FrameHeader) -> Taking {
        let id = header.logID
        // What a checkpoint still knows, and what is said of a deleted log, comes to nothing.
        if deleted.contains(id) { return Taking() }
        var taking = Taking()
        if byID[id] == nil { taking.insertions.append(make(id, at: header.timestamp).1) }
        if header.kind == .close { byID[id]?.isClosed = true }
        if header.kind == .trim, let log = byID[id] { byID[id]?.first = max(log.first, header.firstOffset) }
        if header.kind == .delete, let log = byID.removeValue(forKey: id) {
            names.remove(log.name)
            deleted.insert(id)
        }
        return taking
    }

    private mutating func takeRecords(_ header: FrameHeader, _ records: Range<RecordOffset>) -> Taking {
        let id = header.logID
        var taking = Taking()
        let log: Log
        if let known = byID[id] {
            log = known
        } else {
            let (made, insertion) = make(id, at: header.timestamp)
            log = made
            taking.insertions.append(insertion)
        }
        guard records.lowerBound >= log.next else {
            return Taking(
                refusal: "records of log \(id) begin at \(records.lowerBound), where \(log.next) comes next")
        }
        if records.lowerBound > log.next { taking.insertions.append(noteGap(id, log.next..<records.lowerBound)) }
        byID[id]?.next = records.upperBound
        return taking
    }

    /// Where they were appended may be gone: then these are the records.
    private mutating func takeMoved(_ header: FrameHeader, _ records: Range<RecordOffset>) -> Taking {
        let id = header.logID
        var taking = Taking()
        if deleted.contains(id) { return taking }
        if byID[id] == nil { taking.insertions.append(make(id, at: header.timestamp).1) }
        if let next = byID[id]?.next, next < records.upperBound {
            taking.insertions.append(noteGap(id, next..<records.upperBound))
            byID[id]?.next = records.upperBound
        }
        var found = 0
        gaps[id] = gaps[id, default: []].flatMap { gap in
            let part = gap.clamped(to: records)
            guard !part.isEmpty else { return [gap] }
            found += part.upperBound - part.lowerBound
            return [gap.lowerBound..<part.lowerBound, part.upperBound..<gap.upperBound].filter { !$0.isEmpty }
        }
        guard found > 0 else { return taking }
        byID[id]?.recordCount += UInt64(found)
        byID[id]?.bytes += UInt64(Int(header.payloadBytes) * found / Int(header.recordCount))
        return taking
    }

    private mutating func noteGap(_ id: LogID, _ records: Range<RecordOffset>) -> Insertion {
        gaps[id, default: []].append(records)
        return .lost(id, records)
    }

    /// A log whose making is gone gets the name that a checkpoint knows, or one that says what happened.
    private mutating func make(_ id: LogID, at timestamp: Timestamp) -> (Log, Insertion) {
        let known = summed[id]
        var name = known?.name ?? Array("name-lost-\(id)".utf8)
        while known == nil && names.contains(name) { name += Array("-".utf8) }
        names.insert(name)
        var log = Log(name: name)
        log.settings = known?.settings ?? LogSettings()
        byID[id] = log
        nextID = max(nextID, id.next)
        return (
            log,
            .create(
                id, name: name, created: known?.created ?? timestamp, settings: known?.settings ?? LogSettings(),
                isNameKnown: known != nil)
        )
    }

    /// Takes what a damaged frame's header says, if it fits what is known.
    public mutating func take(hint header: FrameHeader?, byteCount: Int) {
        // Of records that were appended elsewhere: where they are gone there, a gap says so.
        if let header, header.kind == .moved, let log = byID[header.logID],
            header.firstOffset + Int(header.recordCount) <= log.next
        {
            return
        }
        guard let header, header.kind == .append, let log = byID[header.logID],
            header.firstOffset == max(log.next, log.hinted)
        else { return takeUnknown(byteCount) }
        byID[header.logID]?.hinted = header.firstOffset + Int(header.recordCount)
    }

    public mutating func takeUnknown(_ bytes: Int) { unknownBytes += bytes }

    /// Whether records that were below the first one of their log are spoken of: they were not lost.
    public func isTrimmed(_ id: LogID, _ records: Range<RecordOffset>) -> Bool {
        records.upperBound <= max(byID[id]?.first ?? .zero, summed[id]?.first ?? .zero)
    }

    /// Whether the newest checkpoint says that a log was deleted: the frames that made or deleted it may be retired.
    public func wasDeleted(_ id: LogID) -> Bool { id != .none && id < knownBelow && summed[id] == nil }

    /// All frames were given: what the checkpoint, and damaged frames, say beyond them.
    public mutating func settle() -> [Insertion] {
        var insertions: [Insertion] = []
        for log in summed.values.sorted(by: { $0.id < $1.id }) where !deleted.contains(log.id) {
            if byID[log.id] == nil { insertions.append(make(log.id, at: lastTimestamp).1) }
            let hinted = byID[log.id]?.hinted ?? .zero
            byID[log.id]?.hinted = max(hinted, log.next)
        }
        for (id, log) in byID.sorted(by: { $0.key < $1.key }) where log.hinted > log.next {
            insertions.append(noteGap(id, log.next..<log.hinted))
            byID[id]?.next = log.hinted
        }
        for (id, log) in byID.sorted(by: { $0.key < $1.key }) {
            guard let known = summed[id] else { continue }
            // A later frame that said so was retired.
            if log.settings != known.settings && log.settingsPosition < anchor {
                insertions.append(.configure(id, known.settings))
            }
            if known.first > log.first { insertions.append(.trim(id, before: known.first)) }
            if known.isClosed && !log.isClosed { insertions.append(.close(id)) }
        }
        // As many logs as unknown bytes could have made: an id is never given again.
        let frameBytesMin = FrameHeader.frameBytes(fieldsBytes: 8, recordCount: 0, payloadBytes: 0)
        nextID = LogID(rawValue: nextID.rawValue + UInt64(unknownBytes / frameBytesMin))
        return insertions
    }
}
