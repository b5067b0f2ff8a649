import CommitLog
import LogFormat
import WriteAheadLog

/// What `appendlog verify` found in the directory of a program that embeds the write-ahead log: one stream of records.
public struct StreamVerification: Sendable {
    public private(set) var segmentCount = 0
    public private(set) var frameCount = 0
    /// Records that are there, and their bytes; those that were let go of count while their segment is there.
    public private(set) var recordCount = 0
    public private(set) var recordBytes = 0
    public private(set) var checkpointCount = 0
    /// The first record that is kept, and where the next one goes.
    public private(set) var first = RecordPosition.zero
    public private(set) var next = RecordPosition.zero
    public private(set) var tail = OfflineTail()
    public private(set) var damageCount = 0
    public private(set) var lossCount = 0
    /// Places of the stream that no frame held when those behind came.
    private var gaps: [(Range<RecordPosition>, cause: Damage?)] = []
    private var lastDamage: Damage?
    private var saidByStart: Damage?

    /// Reads everything and gives each damage, and what is missing for it, to `report` as a line.
    public init(_ log: OfflineLog, _ report: @escaping (String) -> Void = { _ in }) throws(CommitLogError) {
        segmentCount = log.segments.count
        do throws(CommitLogError) { _ = try log.judge(RecordReplay()) } catch {
            guard case .damaged(let damage) = error else { throw error }
            saidByStart = damage
        }
        for file in log.checkpoints { take(file, report) }
        // The closure may not escape, and the state is this value's.
        var state = self
        state.tail = try log.walk { event throws(CommitLogError) in state.take(event, report) }
        self = state
        noteGaps(report)
        // What only a start's own judgement found.
        if let saidByStart { note(saidByStart, report) }
    }

    public var isWhole: Bool { damageCount == 0 && lossCount == 0 }

    /// A few lines for a person.
    public var summary: String {
        [
            "segments     \(segmentCount)", "batches      \(tail.batchCount)", "frames       \(frameCount)",
            "records      \(recordCount)", "record bytes \(recordBytes)", "positions    \(first) to \(next)",
            "checkpoints  \(checkpointCount)", "tail         \(tail.sentence)",
            isWhole ? "no damage" : "damage       \(damageCount) places; \(lossCount) losses", "",
        ].joined(separator: "\n")
    }

    private mutating func take(_ file: OfflineLog.CheckpointFile, _ report: (String) -> Void) {
        if let cause = file.cause { note(Damage(file: file.name, position: nil, cause: cause), report) }
        guard let payload = file.payload else { return }
        checkpointCount += 1
        let replay = RecordReplay()
        let isReadable = unsafe payload.withUnsafeBytes { bytes in
            do throws(CommitLogError) {
                unsafe try replay.restore(bytes)
                return true
            } catch { return false }
        }
        guard isReadable else {
            return note(Damage(file: file.name, position: nil, cause: "its payload is unreadable"), report)
        }
        first = max(first, replay.first)
    }

    private mutating func take(_ event: SalvageEvent, _ report: (String) -> Void) {
        switch event {
        case .frame(let frame, let place):
            if let cause = refusal(of: frame.header) {
                return note(Damage(file: place.file, position: place.position, cause: cause), report)
            }
            frameCount += 1
        case .damage(let damage): note(damage, report)
        case .segmentBegins, .damagedFrame, .batchEnds, .unknownBytes, .segmentEnds: break
        }
    }

    /// Takes what a frame says of the stream; why it cannot be, where it does not go on as a start demands.
    private mutating func refusal(of header: FrameHeader) -> String? {
        let place = RecordPosition(rawValue: header.firstOffset.rawValue)
        switch header.kind {
        case .append:
            guard header.logID == RecordReplay.logID, place >= next, place.rawValue < UInt64(Int64.max) else {
                return "a frame does not go on where the records before it ended"
            }
            if place > next { gaps.append((next..<place, cause: lastDamage)) }
            next = place.advanced(records: Int(header.recordCount), bytes: Int(header.payloadBytes))
            recordCount += Int(header.recordCount)
            recordBytes += Int(header.payloadBytes)
        case .trim: first = max(first, place)
        case .seal, .epoch: break
        case .create, .configure, .close, .delete, .moved, .lost:
            return "a frame of a kind that a single log does not have"
        }
        return nil
    }

    private mutating func noteGaps(_ report: (String) -> Void) {
        // All that it held was let go of, and is gone.
        next = max(next, first)
        for (gap, cause) in gaps where gap.upperBound > first {
            lossCount += 1
            let because = cause.map { " (\($0))" } ?? ""
            report("missing: the records from \(max(gap.lowerBound, first)) to \(gap.upperBound)\(because)")
        }
    }

    private mutating func note(_ damage: Damage, _ report: (String) -> Void) {
        // The same place may be found twice: by the walk, and by a start's judgement.
        if damage.file == saidByStart?.file && damage.position == saidByStart?.position { saidByStart = nil }
        damageCount += 1
        if !damage.file.hasSuffix(".ckpt") { lastDamage = damage }
        report("damage: \(damage)")
    }
}
