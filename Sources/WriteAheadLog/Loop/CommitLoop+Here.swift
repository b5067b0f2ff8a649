import CommitLog
import LogFormat

extension CommitLoop {
    /// Commits what is staged on the calling thread, if the batch is among it and the disk is free: a lone append then waits
    /// for the disk alone and for no other thread. Returns at once where the loop has to do it, or does it already.
    func commitHere(_ batch: BatchNumber) {
        lock.lock()
        guard let records else { return lock.unlock() }
        guard !isShutDown, !answers.isAnswered(batch), var write = records.log.beginCommitHere() else {
            return unlockAndWake(if: needsTurn(records) || hasUntold)
        }
        var events = LoopEvents()
        while true {
            lock.unlock()
            let outcome = write.perform()
            lock.lock()
            guard let rest = records.log.endCommitHere(outcome, into: &events) else { break }
            write = rest
        }
        let ended = publish(events, records)
        let isPoisoned = poison != nil
        // The loop tells observers, hands over or lets linger what was staged meanwhile, frees space, and has to look at the
        // clock again.
        let isWanted =
            records.log.isBusy || isShutDown || !observers.isEmpty || isPoisoned || sleepsForever
            || records.hasDeadSegment
        if isWanted && !isAsleep { hasNews = true }
        if waiterCount > 0 { lock.wakeAll() }
        unlockAndWake(if: isWanted)
        if let ended { answers.release(ended) }
        if isPoisoned { answers.releaseAll() }
    }
}
