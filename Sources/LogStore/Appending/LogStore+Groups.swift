import CommitLog
import LogFormat

extension LogStore {
    /// Stages appends to several logs, all of them or none, in one batch. A log may be there several times.
    ///
    /// The identity is a key or none. Names are valid; there is at least one append and at most
    /// `LogStoreLimits.groupAppendsMax`.
    public func append(group: [GroupAppend], identity: RequestIdentity) -> StoreGroupAppend {
        precondition((1...LogStoreLimits.groupAppendsMax).contains(group.count), "a group of a wrong size")
        if identity.isGiven { expireIdentities() }
        switch verdict(onGroup: identity) {
        case .known(let answers): return .repeated(answers.map(\.ticket))
        case .refused(let refusal): return .refused(refusal, index: nil)
        case .new: break
        }
        if let refused = refused(group) { return refused }
        let parts = parts(of: group, identity)
        let bytes = parts.reduce(0) { sum, part in
            sum + creationBytes(part.creation) + frameBytes(fieldsBytes: part.fields.bytes.count, part.append.body)
        }
        guard bytes <= wal.frameBytesMax else { return .tooLarge }
        if let refusal = wal.refusal(frameBytes: bytes) { return StoreGroupAppend(refusal) }
        guard wal.pendingBytes + bytes <= configuration.pendingBytesMax else { return .pendingLimit }
        let timestamp = nextTimestamp()
        let tickets = parts.map { part in
            unsafe part.append.name.withUnsafeBytes { name in
                let slot =
                    unsafe table.slot(named: name) ?? stageCreation(name, LogSettings(), part.creation, timestamp)
                return stage(part.append.body, part.fields, slot, timestamp)
            }
        }
        note(identity, in: .none, tickets.map { RequestAnswer($0) })
        return .staged(tickets)
    }

    private enum GroupVerdict {
        case new
        case known([RequestAnswer])
        case refused(AppendRefusal)
    }

    /// A group's key belongs to no log.
    private func verdict(onGroup identity: RequestIdentity) -> GroupVerdict {
        guard case .key(let key, let fingerprint) = identity else { return .new }
        guard let entry = unsafe keys.entry(of: key, in: .none) else {
            return keys.refusal(now: clock.now).map { .refused($0) } ?? .new
        }
        if entry.fingerprint == fingerprint { return .known(entry.answers) }
        return .refused(AppendRefusal(cause: .keyReused, after: entry.answers[0].batch))
    }

    /// The first append that is refused, judged behind those before it.
    private func refused(_ group: [GroupAppend]) -> StoreGroupAppend? {
        var nexts: [[UInt8]: RecordOffset] = [:]
        for (index, append) in group.enumerated() {
            let found: AppendRefusal? = unsafe append.name.withUnsafeBytes { name in
                let slot = unsafe table.slot(named: name)
                let next = nexts[append.name] ?? slot.map { table[$0].sequencedNext } ?? .zero
                nexts[append.name] = next + append.body.recordCount
                return unsafe refusal(of: name, slot, append.condition, next: next)
            }
            if let found { return .refused(found, index: index) }
        }
        return nil
    }

    private struct Part {
        let append: GroupAppend
        /// Of the frame that makes the log; empty if it is there, or made by an earlier part.
        let creation: FieldWriter
        let fields: FieldWriter
    }

    private func parts(of group: [GroupAppend], _ identity: RequestIdentity) -> [Part] {
        var made: Set<[UInt8]> = []
        let id = lastTimestamp.next.rawValue
        return group.enumerated().map { index, append in
            var creation = FieldWriter()
            unsafe append.name.withUnsafeBytes { name in
                if unsafe table.slot(named: name) == nil, made.insert(append.name).inserted {
                    unsafe writeCreation(name, LogSettings(), to: &creation)
                }
            }
            var fields = FieldWriter()
            GroupField(id: id, index: UInt32(index), count: UInt32(group.count)).write(to: &fields)
            if index == 0 { identity.write(to: &fields) }
            return Part(append: append, creation: creation, fields: fields)
        }
    }
}
