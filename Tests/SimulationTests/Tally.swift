/// What a run has met, so that one can see that it is no empty run.
struct Tally: Equatable, CustomStringConvertible {
    enum Event: String, CaseIterable {
        case starts, crashesInOpen, crashes, cleanStops, poisoned, cuts, segmentTurns, checkpoints, checkpointStarts
        case sealed, fullDisks, shortReads, machineChanges, damages, refused, intact, lastBatchLost, damagedReads
        case acknowledged
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
