/// What was found where the next batch was expected and was not there as it should be.
struct TailEvidence: Equatable {
    /// A batch with the right number and a right checksum is there, but does not follow the one before it.
    var isChainBroken = false
    /// Behind the tail stands a batch of this store that can only have been written after the missing one was durable.
    var hasLaterWitness = false
    /// A checkpoint says that the missing batch was durable.
    var isCoveredByCheckpoint = false
    /// Something else than zeros lies behind the tail.
    var hasBytesBehind = false
}

/// What recovery does at the end of the batches that it could follow: the rows of the table in docs/DURABILITY.md.
enum TailDecision: Equatable {
    /// The log ends here; nothing lies behind.
    case end
    /// One batch was being written when the process or the power went: it was never acknowledged. Its bytes are saved
    /// and it is cut.
    case cutTornTail
    /// Something acknowledged is gone: refuse to start.
    case damage(cause: String)

    init(_ evidence: TailEvidence) {
        self =
            if evidence.isCoveredByCheckpoint {
                .damage(
                    cause: "the batch expected here is gone or unreadable, and a checkpoint says that it was durable")
            } else if evidence.hasLaterWitness {
                .damage(cause: "the batch expected here is unreadable, and a later batch says that it was durable")
            } else if evidence.isChainBroken {
                .damage(cause: "the batch here does not follow the one before it")
            } else if evidence.hasBytesBehind {
                .cutTornTail
            } else {
                .end
            }
    }
}
