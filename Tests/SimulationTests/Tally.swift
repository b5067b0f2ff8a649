/// What a run has met, so that one can see that it is no empty run.
struct Tally: Equatable, CustomStringConvertible {
    enum Event: String, CaseIterable {
        case starts, crashesInOpen, crashes, cleanStops, poisoned, cuts, segmentTurns, retired, copies, packed,
            checkpoints
        case checkpointStarts
        case sealed, fullDisks, shortReads, machineChanges, damages, refused, intact, lastBatchLost, damagedReads
        case acknowledged
        // Of requests with an identity.
        case takenAgain, repeats, repeatsAfterRestart, repeatsOfSurvivors, repeatsInFlight
        case gaps, fenced, epochs, forgotten, keysReused, keysFull, producersFull, keysUsedAgain, producersAnew
        case conditionsHeld, conditionsFailed, closedRefusals, notFound
        case groups, groupRepeats, groupRefusals, groupsTooLarge
        // Of the life of logs.
        case creations, conflicts, configurations, unchanged, closes, deletes, changesOfDeleted
        case incarnations, namesUsedAtOnce, trims, trimsRefused, trimmedReads
        case retained, retainedBytes, retainedAges
    }

    private var counts = [Int](repeating: 0, count: Event.allCases.count)

    subscript(event: Event) -> Int {
        get { counts[Self.index(event)] }
        set { counts[Self.index(event)] = newValue }
    }

    static func += (left: inout Tally, right: Tally) {
        for event in Event.allCases { left[event] += right[event] }
    }

    var description: String { Event.allCases.map { "\($0.rawValue) \(self[$0])" }.joined(separator: ", ") }

    private static func index(_ event: Event) -> Int { Event.allCases.firstIndex(of: event)! }
}
