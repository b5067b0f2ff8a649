import CommitLog
import LogFormat

/// The idempotency keys of all logs, for a stated time; those of groups belong to no log.
///
/// It says what was sequenced, in flight or not. A key is never forgotten before its time: where there is no room, new ones
/// are refused.
struct IdempotencyKeys {
    fileprivate struct Name: Hashable {
        let log: LogID
        let key: [UInt8]
    }

    struct Entry {
        fileprivate let name: Name
        let fingerprint: BodyFingerprint
        /// One for each append of a group, in their order; one for a plain append.
        let answers: [RequestAnswer]

        var timestamp: Timestamp { answers[0].timestamp }
        /// Memory that it takes, about.
        var byteCount: Int { LogStoreLimits.keyOverheadBytes + name.key.count + answers.count * 32 }
    }

    private let limits: IdentityLimits
    private var entries = FirstInFirstOut<Entry>()
    private var numbers: [Name: Int] = [:]
    private(set) var byteCount = 0

    init(_ limits: IdentityLimits) { self.limits = limits }

    private var windowMicroseconds: UInt64 { UInt64(limits.keyWindowSeconds) * 1_000_000 }

    var count: Int { entries.count }
    /// The numbers of the entries that are there; they stay the same.
    var range: Range<Int> { entries.firstNumber..<entries.endNumber }

    /// The entry of a key; `log` is `.none` for a group's.
    func entry(of key: UnsafeRawBufferPointer, in log: LogID) -> Entry? {
        numbers[Name(log: log, key: unsafe Array(key))].map { entries[$0] }
    }

    /// Why no further key is taken now; nil if there is room.
    func refusal(now: Timestamp) -> AppendRefusal? {
        if count < limits.keysMax, byteCount < LogStoreLimits.keyBytesMax { return nil }
        let ends = (entries.first?.timestamp.rawValue ?? 0) + windowMicroseconds
        let seconds = ends > now.rawValue ? (ends - now.rawValue) / 1_000_000 + 1 : 1
        return AppendRefusal(cause: .keysFull(retryAfterSeconds: Int(min(seconds, 86_400))), after: .zero)
    }

    /// Takes note of a key. One that is there already stays, as a checkpoint may hold what is replayed; but a later request
    /// says that it was forgotten in between, and used again.
    mutating func note(
        _ key: UnsafeRawBufferPointer, in log: LogID, _ fingerprint: BodyFingerprint, _ answers: [RequestAnswer]
    ) {
        let name = Name(log: log, key: unsafe Array(key))
        if let number = numbers[name], entries[number].timestamp >= answers[0].timestamp { return }
        let entry = Entry(name: name, fingerprint: fingerprint, answers: answers)
        numbers[name] = entries.endNumber
        entries.append(entry)
        byteCount += entry.byteCount
    }

    /// Forgets keys whose time is over, and that are durable; a few at a time.
    mutating func expire(now: Timestamp, durable: BatchNumber) {
        for _ in 0..<LogStoreLimits.identitiesExpiredPerTurn {
            guard let entry = entries.first, entry.timestamp.rawValue + windowMicroseconds < now.rawValue,
                entry.answers[0].batch <= durable
            else { return }
            if numbers[entry.name] == entries.firstNumber { numbers[entry.name] = nil }
            byteCount -= entry.byteCount
            entries.removeFirst()
        }
    }

    /// Puts the entries in the order of their times, each key once, and forgets those of logs that are not there: to be called
    /// when all was restored and replayed, before any number is used.
    mutating func putInOrder(where isThere: (LogID) -> Bool) {
        let isInOrder = range.dropFirst().allSatisfy { entries[$0 - 1].timestamp <= entries[$0].timestamp }
        func isKept(_ entry: Entry) -> Bool { entry.name.log == .none || isThere(entry.name.log) }
        if isInOrder && numbers.count == count && range.allSatisfy({ isKept(entries[$0]) }) { return }
        let kept = range.filter { numbers[entries[$0].name] == $0 && isKept(entries[$0]) }.map { entries[$0] }
        self = IdempotencyKeys(limits)
        for entry in kept.sorted(by: { $0.timestamp < $1.timestamp }) {
            numbers[entry.name] = entries.endNumber
            entries.append(entry)
            byteCount += entry.byteCount
        }
    }
}

// In a checkpoint: u64 log id, u8 bytes of the key, the key, u64 and u64 fingerprint, u16 count of answers, the answers.
extension IdempotencyKeys {
    /// Writes the entry of a number if it is durable and still the one of its key. Returns false if it is not.
    func write(_ number: Int, durable: BatchNumber, to writer: inout ByteWriter) -> Bool {
        let entry = entries[number]
        guard entry.answers[0].batch <= durable, numbers[entry.name] == number else { return false }
        writer.append(entry.name.log.rawValue)
        writer.append(UInt8(entry.name.key.count))
        writer.append(bytes: entry.name.key)
        writer.append(entry.fingerprint.low)
        writer.append(entry.fingerprint.high)
        writer.append(UInt16(entry.answers.count))
        for answer in entry.answers { answer.write(to: &writer) }
        return true
    }

    mutating func restore(from reader: inout ByteReader) throws(FormatError) {
        let log = LogID(rawValue: try reader.read())
        let key = unsafe try reader.readBytes(Int(try reader.read(UInt8.self)))
        let fingerprint = BodyFingerprint(low: try reader.read(), high: try reader.read())
        let count: UInt16 = try reader.read()
        guard (1...LogStoreLimits.keyLengthBytesMax).contains(key.count), count > 0 else { throw .badField }
        var answers: [RequestAnswer] = []
        for _ in 0..<count { answers.append(try RequestAnswer(from: &reader)) }
        unsafe note(key, in: log, fingerprint, answers)
    }
}
