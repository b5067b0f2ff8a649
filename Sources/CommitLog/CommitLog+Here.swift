import LogFormat

/// A part of a batch that the calling thread writes and syncs by itself.
@safe
public struct WriteHere {
    let device: any LogDevice
    let bytes: UnsafeRawBufferPointer
    let fileOffset: UInt64

    /// Writes and syncs. Needs no lock: the bytes stay as they are until `endCommitHere`.
    public func perform() -> WriteOutcome { unsafe device.writeNow(bytes, at: fileOffset) }
}

/// Commits by the thread that waits for them, which saves a lone one two changes of threads. The protocol is the same.
extension CommitLog {
    /// Seals the filling batch for the calling thread to write, if the disk is free and the batch is not to linger; nil else.
    /// Neither the ring nor the segments are touched. What comes back is performed, and its outcome given to `endCommitHere`.
    public func beginCommitHere() -> WriteHere? {
        guard device.writesForCallers, !builders[filling].isEmpty, fitsActiveSegment else { return nil }
        guard case .seal = offer(clock.monotonicMicroseconds) else { return nil }
        isCommittingHere = true
        seal(clock.monotonicMicroseconds)
        return writeHere(from: 0)
    }

    /// Takes what became of such a write. Returns the rest, where it was short; otherwise the batch has ended, and what
    /// became of it is in the result or in `poisonCause`. The next batch is left to a turn.
    public func endCommitHere(_ outcome: WriteOutcome, into result: inout LoopEvents) -> WriteHere? {
        result.removeAll()
        var action = commit.handle(.written(outcome.written))
        if case .none = action { action = commit.handle(.synced(outcome.synced)) }
        if case .writeRest(let written) = action { return writeHere(from: written) }
        isCommittingHere = false
        perform(action, &result, goesOn: false)
        return nil
    }

    private var fitsActiveSegment: Bool {
        roundedUp(builders[filling].byteCount, to: engine.blockBytes) <= remainingBytes
    }

    private func writeHere(from written: Int) -> WriteHere {
        let (bytes, fileOffset) = unsafe rest(from: written)
        return unsafe WriteHere(device: device, bytes: bytes, fileOffset: fileOffset)
    }
}
