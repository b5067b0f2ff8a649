@testable import CommitLog
@testable import LogFormat
@testable import LogStore

/// Input: a control byte (bit 0: put length and checksum right first), four bytes that choose a bit to flip, and a
/// checkpoint.
enum CheckpointTarget {
    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let control = reader.byte()
        let bit = Int(reader.integer(UInt32.self))
        var bytes = reader.remainder()
        if control & 1 == 1 { repair(&bytes) }
        guard let checkpoint = decoded(bytes) else { return }
        require(checkpoint.encoded() == bytes || bytes[12..<16] != [0, 0, 0, 0], "a checkpoint written again differs")
        require(
            decoded(bytes.flippingBit(bit % (bytes.count * 8))) == nil, "a checkpoint with a flipped bit is accepted")
        require(decoded(Array(bytes[..<(bit % bytes.count)])) == nil, "a part of a checkpoint is accepted")
        restore(checkpoint.payload)
    }

    /// Gives a checkpoint the length and the checksum of what it holds.
    static func repair(_ bytes: inout [UInt8]) {
        guard bytes.count >= Checkpoint.headerBytes + 4 else { return }
        bytes.store(UInt64(bytes.count - Checkpoint.headerBytes - 4), at: 64)
        bytes.store(bytes.checksum(of: 0..<bytes.count - 4), at: bytes.count - 4)
    }

    /// What the store takes, it can make the same checkpoint of; what it does not, it refuses with an error.
    private static func restore(_ payload: [UInt8]) {
        let replay = StoreReplay(directory: "/data", fileSystem: MemoryFileSystem())
        guard withExactMemory(payload, { (try? replay.restore($0)) != nil }) else { return }
        let again = Self.payload(
            replay.table, replay.producers, replay.keys, anchor: ScanAnchor(segment: .zero, chain: .beginning),
            nextID: replay.nextID, knownBelow: replay.knownBelow, lastTimestamp: replay.lastTimestamp)
        // Requests that are known twice, or out of their order, are kept once: only then it may be another.
        if again.count == payload.count {
            require(payload == again, "a checkpoint made of what was restored differs")
        }
        for index in 0..<replay.table.count {
            let log = replay.table.summary(LogSlot(index: Int32(index)))
            require(
                log.first <= log.next && log.name.withUnsafeBytes(LogName.isValid), "an impossible log was restored")
        }
    }

    /// The payload of a checkpoint of all this, made in slices as the store makes it.
    static func payload(
        _ table: LogTable, _ producers: Producers, _ keys: IdempotencyKeys, anchor: ScanAnchor, nextID: LogID,
        knownBelow: LogID, lastTimestamp: Timestamp
    ) -> [UInt8] {
        var builder = CheckpointBuilder(anchor: anchor, knownBelow: knownBelow, keys: keys.range)
        while !builder.isComplete(table, producers) { builder.addSlice(table, producers, keys, durable: .zero) }
        return builder.payload(nextID: nextID, lastTimestamp: lastTimestamp)
    }

    private static func decoded(_ bytes: [UInt8]) -> Checkpoint? {
        withExactMemory(bytes) { try? Checkpoint(decoding: $0) }
    }
}
