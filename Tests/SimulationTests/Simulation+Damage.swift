import LogFormat

@testable import CommitLog
@testable import LogStore

/// The disk breaks its promises. A start then refuses and names the file, and with that file from a copy all is there;
/// or it shows all that was acknowledged; or it cuts the last batch, where nothing proves that it was there. A read gives
/// the right bytes or an error.
extension Simulation {
    /// Whether a checkpoint that is in place proves that this batch was durable.
    func isCovered(_ batch: BatchNumber) -> Bool {
        batch > .zero && newestCheckpoint >= DataDirectory.checkpointName(batch)
    }

    func endInDamage() throws {
        leaveInPeace()
        // What is damaged was durable.
        disk.restart(.power)
        var kind = seed.pick(DiskDamage.Kind.allCases)
        if isCovered(lastDurable) && seed.once(in: 2) { kind = .lastBatch }
        if kind == .rot { try start() }
        var found = disk.damage(kind, batch: lastBatch, isCovered: isCovered(lastDurable))
        // Open files are not exchanged.
        for _ in 0..<20 where found == nil {
            found = disk.damage(kind == .rot ? .rot : .flippedBit, batch: nil, isCovered: false)
        }
        // The machine may have died before there was a file.
        guard let damage = found else { return store == nil ? try start() : () }
        tally[.damages] += 1
        isDamaged = true
        if store != nil {
            try compareAll()
            try work()
            if store != nil { crash(.power) }
        }
        do { try startDamaged(damage) } catch let failure as Failure {
            throw Failure(description: "\(failure) (the disk: \(kind) in \(damage.files.joined(separator: ", ")))")
        }
    }

    private func startDamaged(_ damage: DiskDamage) throws {
        leaveInPeace()
        let mayLose = isCovered(lastDurable) ? nil : lastDurable
        if let refusal = try refusal() {
            // Of a segment that is gone only its neighbour can tell.
            guard damage.kind == .lostFile || damage.files.contains(where: refusal.contains) else {
                throw Failure(description: "a start refuses and names another file: \(refusal)")
            }
            // Rot has come while more was written; there is no copy of that.
            return damage.kind == .rot ? () : try startRepaired(damage)
        }
        let report = store!.wal.recovery
        guard mayLose != nil || damage.kind != .lastBatch && damage.kind != .lastBatchVanishes else {
            throw Failure(description: "a start goes on without a batch that a checkpoint covers")
        }
        try compareLog(report)
        if try recovered(mayLose: mayLose) {
            tally[.lastBatchLost] += 1
            guard report.tornBytes > 0 || damage.kind == .lastBatchVanishes || damage.kind == .zeroedSector else {
                throw Failure(description: "a batch was cut and not reported")
            }
        } else {
            tally[.intact] += 1
        }
        try compareAll()
        try work()
        if store != nil { crash(.power) }
        if try refusal() != nil { return }
        try compareLog(store!.wal.recovery)
        _ = try recovered()
        try compareAll()
    }

    /// Starts; returns what was said if it was refused for damage.
    private func refusal() throws -> String? {
        let before = disk.fingerprints()
        do {
            store = try open()
            return nil
        } catch let error as CommitLogError {
            guard case .damaged = error else { throw Failure(description: "a start fails otherwise: \(error)") }
            guard disk.fingerprints() == before else {
                throw Failure(description: "a start that refuses has changed something: \(error)")
            }
            tally[.refused] += 1
            return error.description
        }
    }

    private func startRepaired(_ damage: DiskDamage) throws {
        disk.restart(.power)
        damage.undo()
        isDamaged = false
        try start()
        crash()
        try start()
    }
}
