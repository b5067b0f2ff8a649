import CommitLog
import LogFormat
import LogStore

/// Takes what a scan of a data directory finds. Views are valid during the call only.
protocol OfflineScanVisitor: AnyObject {
    /// A whole frame that fits those before it; `log` is the name of its log, nil if it is about none.
    func keep(_ frame: FrameView, _ place: FramePlace, log: [UInt8]?) throws(CommitLogError)
    /// What is missing before the frame that comes next, or at the end.
    func insert(_ insertion: OfflineLogs.Insertion, at timestamp: Timestamp) throws(CommitLogError)
    /// The frames of a batch have been given.
    func endBatch() throws(CommitLogError)
    func damage(_ damage: Damage)
    func loss(_ loss: Loss)
}

extension OfflineScanVisitor {
    func insert(_ insertion: OfflineLogs.Insertion, at timestamp: Timestamp) throws(CommitLogError) {}
    func endBatch() throws(CommitLogError) {}
    func damage(_ damage: Damage) {}
    func loss(_ loss: Loss) {}
}

/// Goes through a data directory from the first segment to the last, over damage, and compares segments, checkpoints,
/// index files and the judgement of a start with each other. Memory: a segment's window and index, and each log's state.
struct OfflineScan {
    private let log: OfflineLog
    private let visitor: any OfflineScanVisitor
    private(set) var logs = OfflineLogs()
    private(set) var frameCount = 0
    private(set) var damageCount = 0
    /// Those of the damages that are no reason to leave anything out.
    private(set) var complaintCount = 0
    private(set) var lossCount = 0
    private(set) var tail = OfflineTail()
    /// Records that are missing, unless a later frame has brought them.
    private var gaps: [(log: LogID, name: [UInt8], records: Range<RecordOffset>, cause: Damage?)] = []
    private var audit: IndexAudit?
    /// The damage that was found last: why records are missing behind it.
    private var lastDamage: Damage?
    private var saidByStart: Damage?

    init(_ log: OfflineLog, _ visitor: any OfflineScanVisitor) {
        self.log = log
        self.visitor = visitor
    }

    /// `salvagesTail`: see `OfflineLog.walk`.
    mutating func run(salvagesTail: Bool = false) throws(CommitLogError) {
        try log.requireNamedLogs()
        do throws(CommitLogError) { _ = try log.judgeAsStart() } catch {
            guard case .damaged(let damage) = error else { throw error }
            saidByStart = damage
        }
        takeCheckpoints()
        // The closure may not escape, and the state is this value's.
        var state = self
        state.tail = try log.walk(salvagesTail: salvagesTail) { event throws(CommitLogError) in
            try state.take(event)
        }
        self = state
        for insertion in logs.settle() { try insert(insertion, at: logs.lastTimestamp) }
        noteGaps()
        if logs.unknownBytes > 0 { note(.unattributed(bytes: logs.unknownBytes, cause: lastDamage)) }
        // What only a start's own judgement found.
        if let saidByStart { note(saidByStart) }
    }

    private mutating func takeCheckpoints() {
        for file in log.checkpoints {
            if let cause = file.cause { note(Damage(file: file.name, position: nil, cause: cause)) }
            guard let payload = file.payload, let anchor = file.anchor else { continue }
            do throws(FormatError) { logs = try OfflineLogs(checkpoint: payload, anchor: anchor) } catch {
                note(Damage(file: file.name, position: nil, cause: error.description))
            }
        }
    }

    private mutating func take(_ event: SalvageEvent) throws(CommitLogError) {
        switch event {
        case .segmentBegins(let header, _): audit = IndexAudit(header)
        case .frame(let frame, let place): try take(frame, place)
        case .damagedFrame(let header, let byteCount, _): logs.take(hint: header, byteCount: byteCount)
        case .batchEnds: try visitor.endBatch()
        case .damage(let damage): note(damage)
        case .unknownBytes(let bytes): logs.takeUnknown(bytes)
        case .segmentEnds(let header, let isWhole): checkIndex(header, isWhole: isWhole)
        }
    }

    private mutating func take(_ frame: FrameView, _ place: FramePlace) throws(CommitLogError) {
        let taking = logs.take(frame, at: place.position)
        for insertion in taking.insertions { try insert(insertion, at: frame.header.timestamp) }
        if let cause = taking.refusal ?? taking.complaint {
            note(Damage(file: place.file, position: place.position, cause: cause))
        }
        guard taking.refusal == nil else { return logs.takeUnknown(Int(frame.header.byteCount)) }
        if taking.isOfDeletedLog {
            audit?.take(frame, place)
            frameCount += 1
            return
        }
        if taking.complaint != nil { complaintCount += 1 }
        audit?.take(frame, place)
        frameCount += 1
        try visitor.keep(frame, place, log: logs.byID[frame.header.logID]?.name)
    }

    private mutating func insert(
        _ insertion: OfflineLogs.Insertion, at timestamp: Timestamp
    ) throws(CommitLogError) {
        try visitor.insert(insertion, at: timestamp)
        switch insertion {
        case .lost(let id, let records):
            if !logs.isTrimmed(id, records) {
                gaps.append((id, logs.byID[id]?.name ?? [], records, cause: lastDamage))
            }
        case .create(_, let name, _, _, isNameKnown: false): note(.name(given: name, cause: lastDamage))
        case .create, .configure, .trim, .close: break
        }
    }

    private mutating func noteGaps() {
        for gap in gaps {
            for records in logs.gaps[gap.log, default: []].map({ $0.clamped(to: gap.records) })
            where !records.isEmpty && !logs.isTrimmed(gap.log, records) {
                note(.records(log: gap.name, records, cause: gap.cause))
            }
        }
    }

    /// A missing index file is made anew and no damage; one that says something else than its segment is.
    private mutating func checkIndex(_ header: SegmentHeader, isWhole: Bool) {
        defer { audit = nil }
        guard isWhole, let file = log.index(of: header.position),
            let cause = audit?.difference(from: file, storeID: header.storeID, mayOmit: logs.wasDeleted)
        else { return }
        note(Damage(file: "wal/\(DataDirectory.indexName(header.position))", position: nil, cause: cause))
    }

    private mutating func note(_ damage: Damage) {
        // The same place may be found twice: by the walk, and by a start's judgement.
        if damage.file == saidByStart?.file && damage.position == saidByStart?.position { saidByStart = nil }
        damageCount += 1
        if !damage.file.hasSuffix(".idx") && !damage.file.hasSuffix(".ckpt") { lastDamage = damage }
        visitor.damage(damage)
    }

    private mutating func note(_ loss: Loss) {
        lossCount += 1
        visitor.loss(loss)
    }
}

/// Something acknowledged that is not there any more.
public enum Loss: Equatable, Sendable, CustomStringConvertible {
    case records(log: [UInt8], Range<RecordOffset>, cause: Damage?)
    /// The name of a log; its records are under another one.
    case name(given: [UInt8], cause: Damage?)
    /// Bytes of frames that nothing else speaks of: logs may have had further records at their ends, or have been made.
    case unattributed(bytes: Int, cause: Damage?)

    public var description: String {
        switch self {
        case .records(let log, let records, let cause):
            let name = String(decoding: log, as: UTF8.self)
            let last = records.upperBound.rawValue - 1
            let which =
                records.lowerBound.rawValue == last ? "record \(last)" : "records \(records.lowerBound)..\(last)"
            return "\(which) of log \(name)\(Self.because(cause))"
        case .name(let given, let cause):
            return
                "the name of the log that is called \(String(decoding: given, as: UTF8.self)) now\(Self.because(cause))"
        case .unattributed(let bytes, let cause):
            return "up to \(bytes) bytes that no log could be told of: logs without later records may have had more at "
                + "their ends\(Self.because(cause))"
        }
    }

    private static func because(_ cause: Damage?) -> String { cause.map { " (\($0))" } ?? "" }
}
