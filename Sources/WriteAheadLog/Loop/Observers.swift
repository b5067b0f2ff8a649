import LogFormat

/// Those that are to be told when a batch has ended, in the order in which they asked.
struct Observers {
    /// What is called with the token's answer.
    struct Observer {
        let batch: BatchNumber
        let tell: @Sendable () -> Void
    }

    private var waiting: [Observer] = []

    var isEmpty: Bool { waiting.isEmpty }
    var count: Int { waiting.count }

    mutating func add(_ batch: BatchNumber, _ tell: @escaping @Sendable () -> Void) {
        waiting.append(Observer(batch: batch, tell: tell))
    }

    /// Moves all to the end of `taken`.
    mutating func takeAll(into taken: inout [Observer]) {
        taken.append(contentsOf: waiting)
        waiting.removeAll()
    }

    /// Moves those whose batch has ended to the end of `taken`.
    mutating func take(through batch: BatchNumber, into taken: inout [Observer]) {
        guard waiting.contains(where: { $0.batch <= batch }) else { return }
        taken.append(contentsOf: waiting.lazy.filter { $0.batch <= batch })
        waiting.removeAll { $0.batch <= batch }
    }
}
