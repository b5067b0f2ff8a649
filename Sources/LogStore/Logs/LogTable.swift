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

    var count: Int { states.count }

    subscript(slot: LogSlot) -> LogState {
        get { states[Int(slot.index)] }
        _modify { yield &states[Int(slot.index)] }
    }

    /// The slot of a name, whether the log is durable or not.
    func slot(named name: UnsafeRawBufferPointer) -> LogSlot? {
        let index = buckets[unsafe bucket(of: name)]
        return index < 0 ? nil : LogSlot(index: index)
    }

    /// Adds a log whose name is not there yet.
    mutating func add(name: UnsafeRawBufferPointer, id: LogID, created: Timestamp, isDurable: Bool) -> LogSlot {
        unsafe precondition(LogName.isValid(name), "a log was added with a name that is not valid")
        if (states.count + 1) * 2 > buckets.count { grow() }
        let place = unsafe bucket(of: name)
        precondition(buckets[place] < 0, "a log was added twice")
        let slot = Int32(states.count)
        states.append(
            LogState(
                id: id, created: created, nameStart: UInt32(names.count), nameBytes: UInt8(name.count),
                isDurable: isDurable))
        unsafe names.append(contentsOf: name)
        buckets[place] = slot
        unordered.append(slot)
        return LogSlot(index: slot)
    }

    func name(of slot: LogSlot) -> ArraySlice<UInt8> {
        let state = states[Int(slot.index)]
        return names[Int(state.nameStart)..<Int(state.nameStart) + Int(state.nameBytes)]
    }

    func summary(_ slot: LogSlot) -> LogSummary {
        let state = self[slot]
        return LogSummary(
            name: Array(name(of: slot)), id: state.id, first: state.first, next: state.durableNext, bytes: state.bytes,
            created: state.created)
    }

    /// Durable logs in the order of their names (by bytes), those after `after` that begin with `prefix`; and the last
    /// name if there are more.
    mutating func list(prefix: [UInt8], after: [UInt8]?, limit: Int) -> (logs: [LogSummary], nextAfter: [UInt8]?) {
        putInOrder()
        var found: [LogSummary] = []
        var index = firstIndex(from: after ?? prefix, isExclusive: after != nil)
        if let after, after.lexicographicallyPrecedes(prefix) { index = firstIndex(from: prefix, isExclusive: false) }
        while index < ordered.count {
            let slot = LogSlot(index: ordered[index])
            guard name(of: slot).starts(with: prefix) else { break }
            index += 1
            guard self[slot].isDurable else { continue }
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
        name(of: LogSlot(index: left)).lexicographicallyPrecedes(name(of: LogSlot(index: right)))
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
        buckets = [Int32](repeating: -1, count: buckets.count * 2)
        for index in states.indices {
            let slot = LogSlot(index: Int32(index))
            let place = unsafe name(of: slot).withUnsafeBytes { unsafe bucket(of: $0) }
            buckets[place] = slot.index
        }
    }
}
