import Glibc
import LogFormat

/// All logs: their states by slot, and their slots by name.
///
/// The names lie in one arena; the hash table holds slots only, so that a look-up allocates nothing and a log costs
/// little. The hash is keyed anew in each process, so that nobody can choose names that collide.
struct LogTable {
    private var states: [LogState] = []
    private var names: [UInt8] = []
    /// Slots by hash, -1 where free; at most half full; the size is a power of two.
    private var buckets = [Int32](repeating: -1, count: 64)
    /// Slots in the order of their names, without the newest, which stand in `unordered`.
    private var ordered: [Int32] = []
    private var unordered: [Int32] = []
    /// Names that are there, and so buckets that are not free.
    private var nameCount = 0
    /// Slots of deleted logs that something may still refer to.
    private var deleted: [Int32] = []
    /// Slots that may be used again.
    private var free: [Int32] = []
    /// For each segment that extents are of, how many are. A sealed one that is not here holds nothing that is kept.
    var extentCounts: [Position: Int] = [:]

    /// Slots, those of deleted logs included.
    var count: Int { states.count }

    subscript(slot: LogSlot) -> LogState {
        get { states[Int(slot.index)] }
        _modify { yield &states[Int(slot.index)] }
    }

    /// The newest log of a name, whether it is durable or not; nil if it is deleted, durably or not.
    func slot(named name: UnsafeRawBufferPointer) -> LogSlot? {
        guard let slot = unsafe newestSlot(named: name), !self[slot].isDeletedSequenced else { return nil }
        return slot
    }

    /// The log of a name that anyone may see.
    func shownSlot(named name: UnsafeRawBufferPointer) -> LogSlot? {
        var slot = unsafe newestSlot(named: name)
        while let candidate = slot, !self[candidate].isShown { slot = self[candidate].previous }
        return slot
    }

    /// The newest log of a name, deleted or not.
    func newestSlot(named name: UnsafeRawBufferPointer) -> LogSlot? {
        let index = buckets[unsafe bucket(of: name)]
        return index < 0 ? nil : slot(at: index)
    }

    /// The slot of an index, as it is now.
    func slot(at index: Int32) -> LogSlot { LogSlot(index: index, generation: states[Int(index)].generation) }

    /// Whether a slot is still the same log's, and anyone may see it.
    func isShown(_ slot: LogSlot) -> Bool {
        let state = states[Int(slot.index)]
        return state.generation == slot.generation && state.isShown
    }

    /// Adds a log whose name is not there yet, or of which every log is deleted, durably or not.
    mutating func add(name: UnsafeRawBufferPointer, id: LogID, created: Timestamp, isDurable: Bool) -> LogSlot {
        unsafe precondition(LogName.isValid(name), "a log was added with a name that is not valid")
        if (nameCount + 1) * 2 > buckets.count { grow() }
        let place = unsafe bucket(of: name)
        let previous = buckets[place] < 0 ? nil : slot(at: buckets[place])
        precondition(previous.map { self[$0].isDeletedSequenced } ?? true, "a log was added twice")
        if previous == nil { nameCount += 1 }
        var state = LogState(id: id, created: created, isDurable: isDurable)
        state.previous = previous
        let index: Int32
        if let reused = free.popLast() {
            index = reused
            state.generation = states[Int(index)].generation + 1
            unsafe put(name, into: &state, at: states[Int(index)])
            states[Int(index)] = state
        } else {
            index = Int32(states.count)
            unsafe put(name, into: &state, at: nil)
            states.append(state)
        }
        buckets[place] = index
        unordered.append(index)
        return slot(at: index)
    }

    /// Where the name of the slot's last log was there may be room for this one.
    private mutating func put(_ name: UnsafeRawBufferPointer, into state: inout LogState, at old: LogState?) {
        state.nameBytes = UInt8(name.count)
        if let old, Int(old.nameBytes) >= name.count {
            state.nameStart = old.nameStart
            unsafe names.replaceSubrange(Int(old.nameStart)..<Int(old.nameStart) + name.count, with: name)
        } else {
            state.nameStart = UInt32(names.count)
            unsafe names.append(contentsOf: name)
        }
    }

    /// A log's deletion is durable: nobody is shown it any more, and its name is free. Its slot is another's only after
    /// `freeDeleted`.
    mutating func delete(_ slot: LogSlot) {
        self[slot].isDeleted = true
        self[slot].isDeletedSequenced = true
        replaceExtents(of: slot, 0..<self[slot].extents.count, by: [])
        self[slot].settings = nil
        self[slot].settingsSequenced = nil
        deleted.append(slot.index)
        guard let newest = unsafe withName(of: slot, { unsafe newestSlot(named: $0) }) else {
            preconditionFailure("a log was deleted whose name is not there")
        }
        if newest == slot {
            let place = unsafe withName(of: slot) { unsafe bucket(of: $0) }
            if let previous = self[slot].previous { buckets[place] = previous.index } else { empty(place) }
            return
        }
        var later = newest
        while let previous = self[later].previous, previous != slot { later = previous }
        self[later].previous = self[slot].previous
    }

    /// Gives the slots of deleted logs to others: nothing refers to them any more but who looks at the log's id first.
    mutating func freeDeleted() {
        guard !deleted.isEmpty else { return }
        let gone = Set(deleted)
        ordered.removeAll { gone.contains($0) }
        unordered.removeAll { gone.contains($0) }
        free += deleted
        deleted.removeAll()
    }

    /// Empties a bucket and moves up those behind it that are not in their own place for it.
    private mutating func empty(_ place: Int) {
        nameCount -= 1
        let mask = buckets.count - 1
        buckets[place] = -1
        var next = (place + 1) & mask
        while buckets[next] >= 0 {
            let index = buckets[next]
            buckets[next] = -1
            let home = unsafe withName(of: slot(at: index)) { unsafe bucket(of: $0) }
            buckets[home] = index
            next = (next + 1) & mask
        }
    }

    private func withName<Value>(of slot: LogSlot, _ body: (UnsafeRawBufferPointer) -> Value) -> Value {
        unsafe name(of: slot).withUnsafeBytes { unsafe body($0) }
    }

    func name(of slot: LogSlot) -> ArraySlice<UInt8> {
        let state = states[Int(slot.index)]
        return names[Int(state.nameStart)..<Int(state.nameStart) + Int(state.nameBytes)]
    }

    func summary(_ slot: LogSlot) -> LogSummary {
        let state = self[slot]
        return LogSummary(
            name: Array(name(of: slot)), id: state.id, first: state.first, next: state.durableNext, bytes: state.bytes,
            created: state.created, isClosed: state.isClosed, settings: state.settings?.settings ?? LogSettings())
    }

    /// Durable logs in the order of their names (by bytes), those after `after` that begin with `prefix`; and the last
    /// name if there are more.
    mutating func list(prefix: [UInt8], after: [UInt8]?, limit: Int) -> (logs: [LogSummary], nextAfter: [UInt8]?) {
        putInOrder()
        var found: [LogSummary] = []
        var index = firstIndex(from: after ?? prefix, isExclusive: after != nil)
        if let after, after.lexicographicallyPrecedes(prefix) { index = firstIndex(from: prefix, isExclusive: false) }
        while index < ordered.count {
            let slot = slot(at: ordered[index])
            guard name(of: slot).starts(with: prefix) else { break }
            index += 1
            guard self[slot].isShown else { continue }
            if found.count == limit { return (found, found.last?.name) }
            found.append(summary(slot))
        }
        return (found, nil)
    }

    /// Merges the logs added since the last listing into the order.
    private mutating func putInOrder() {
        guard !unordered.isEmpty else { return }
        let newest = unordered.sorted { precedes($0, $1) }
        var merged: [Int32] = []
        merged.reserveCapacity(ordered.count + newest.count)
        var next = 0
        for slot in ordered {
            while next < newest.count, precedes(newest[next], slot) {
                merged.append(newest[next])
                next += 1
            }
            merged.append(slot)
        }
        merged.append(contentsOf: newest[next...])
        ordered = merged
        unordered.removeAll()
    }

    private func precedes(_ left: Int32, _ right: Int32) -> Bool {
        name(of: slot(at: left)).lexicographicallyPrecedes(name(of: slot(at: right)))
    }

    /// The first place in the order whose name is not before this one (or, exclusively, after it).
    private func firstIndex(from bound: [UInt8], isExclusive: Bool) -> Int {
        var low = 0
        var high = ordered.count
        while low < high {
            let middle = (low + high) / 2
            let name = name(of: LogSlot(index: ordered[middle]))
            let isBefore = isExclusive ? !bound.lexicographicallyPrecedes(name) : name.lexicographicallyPrecedes(bound)
            if isBefore { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The bucket that holds this name, or the free one where it would go.
    private func bucket(of name: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        unsafe hasher.combine(bytes: name)
        let mask = buckets.count - 1
        var place = hasher.finalize() & mask
        while buckets[place] >= 0, unsafe !isName(name, of: buckets[place]) { place = (place + 1) & mask }
        return place
    }

    private func isName(_ name: UnsafeRawBufferPointer, of slot: Int32) -> Bool {
        let state = states[Int(slot)]
        guard Int(state.nameBytes) == name.count else { return false }
        return unsafe names.withUnsafeBytes {
            unsafe memcmp($0.baseAddress! + Int(state.nameStart), name.baseAddress!, name.count) == 0
        }
    }

    private mutating func grow() {
        let newest = buckets.filter { $0 >= 0 }
        buckets = [Int32](repeating: -1, count: buckets.count * 2)
        for index in newest {
            let place = unsafe withName(of: slot(at: index)) { unsafe bucket(of: $0) }
            buckets[place] = index
        }
    }
}
