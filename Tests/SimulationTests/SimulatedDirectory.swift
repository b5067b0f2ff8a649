/// One directory: its entries as they are, and how to go back to those that are durable.
final class SimulatedDirectory {
    enum Node {
        case file(SimulatedFile)
        case directory(SimulatedDirectory)
    }

    private struct Change {
        /// The names that one call changed, and what they stood for before.
        let before: [(name: String, node: Node?)]
    }

    private(set) var entries: [String: Node] = [:]
    /// Changes that were not synced, in order.
    private var changes: [Change] = []

    var names: [String] { entries.keys.sorted() }

    /// One atomic change: each name then stands for its node, or is gone.
    func change(_ changed: [(name: String, node: Node?)]) {
        changes.append(Change(before: changed.map { ($0.name, entries[$0.name]) }))
        for (name, node) in changed { entries[name] = node }
    }

    /// Changes a name for good, as nobody who uses the disk can.
    func replace(_ name: String, _ node: Node?) { entries[name] = node }

    func synchronize() { changes = [] }

    /// The power goes. With `inOrder` the file system has a journal: the changes survive up to some point; else each
    /// name has its old or its new meaning.
    func crash(_ survival: inout Survival, inOrder: Bool) {
        if inOrder {
            while let last = changes.popLast(), !survival.next() {
                for (name, node) in last.before { entries[name] = node }
            }
        } else {
            var durable: [String: Node?] = [:]
            for change in changes.reversed() {
                for (name, node) in change.before { durable.updateValue(node, forKey: name) }
            }
            for name in durable.keys.sorted() where !survival.next() { entries[name] = durable[name]! }
        }
        changes = []
        for name in names {
            switch entries[name]! {
            case .file(let file): file.crash(&survival)
            case .directory(let directory): directory.crash(&survival, inOrder: inOrder)
            }
        }
    }
}
