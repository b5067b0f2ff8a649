/// Says when the owner of a commit log is to begin a checkpoint: after each segment, and while there are segments that
/// nothing is kept of. Two checkpoints have to say so before such a segment goes, and the second must cover more than the
/// first.
public struct CheckpointSchedule {
    /// A segment was turned since the last checkpoint was begun, or something else is worth one.
    public var isWanted = false
    /// When a checkpoint may be written that is only there to have segments retired.
    private var nextRetirement: Int64 = 0

    public init() {}

    /// Whether a checkpoint is to be begun now. `hasDead` says that there are segments that nothing is kept of.
    public mutating func isDue(_ log: CommitLog, now: Int64, hasDead: @autoclosure () -> Bool) -> Bool {
        if log.isWritingCheckpoint { return false }
        if isWanted { return begin() }
        guard log.hasRetiredLeftovers || hasDead() else { return false }
        guard now >= nextRetirement else { return false }
        guard log.isBeyondLastCheckpoint else {
            log.advance()
            return false
        }
        nextRetirement = now + CommitLogLimits.retirementMicroseconds
        return begin()
    }

    /// Microseconds after which `isDue` wants to be asked again while there are dead segments; what is being written wakes
    /// its owner by itself.
    public func retirementDelay(_ log: CommitLog, now: Int64) -> Int64? {
        log.isWritingCheckpoint ? nil : max(nextRetirement - now, CommitLogLimits.retirementMicroseconds / 10)
    }

    private mutating func begin() -> Bool {
        isWanted = false
        return true
    }
}
