import CommitLog
import LogFormat

/// The producers of all logs: what each appended last, so that a repeat is recognised and a gap is noticed.
///
/// It says what was sequenced, in flight or not. Entries stay in their places, so that a checkpoint can walk them in slices.
struct Producers {
    private struct Name: Hashable {
        let log: LogID
        let id: [UInt8]
    }

    /// One request of a producer.
    struct Request {
        let epoch: UInt64
        let sequence: UInt64
        let answer: RequestAnswer
    }

    private struct Entry {
        let name: Name
        /// The last ones, in their order; never empty.
        var requests: [Request]
        /// The number of its element in `uses`; others that name its place are of producers that had it before.
        var use: Int
    }

    private let limits: IdentityLimits
    private var entries: [Entry?] = []
    private var free: [Int] = []
    private var places: [Name: Int] = [:]
    /// The place that was found last.
    private var lastPlace = 0
    /// Places by the time of a use, the oldest first: one for each entry, possibly from before its last use.
    private var uses = FirstInFirstOut<(place: Int, timestamp: Timestamp)>()

    /// Deleted logs whose producers the sweep under way forgets, the place that it looks at next, and logs for the next one.
    private var sweep: (logs: Set<LogID>, place: Int) = ([], 0)
    private var deletedLogs: Set<LogID> = []

    init(_ limits: IdentityLimits) { self.limits = limits }

    var count: Int { places.count }
    /// Behind the last place that is in use.
    var placeCount: Int { entries.count }

    /// What is to be done with a request of a producer in a log; `log` is nil where there is none. That a producer is new
    /// there may be so only by `lastBatch`, the last one that says something about the logs of the name: one that knew it
    /// may be about to be deleted.
    mutating func verdict(on field: ProducerField, in log: LogID?, lastBatch: BatchNumber, durable: BatchNumber)
        -> IdentityVerdict
    {
        guard let log, let place = place(of: field, in: log), let entry = entries[place], let last = entry.requests.last
        else {
            return begins(field, after: lastBatch) { count < limits.producersMax }
        }
        if field.epoch < last.epoch { return refused(.fenced(epoch: last.epoch), last) }
        if field.epoch > last.epoch { return begins(field, after: last.answer.batch) { true } }
        if field.sequence == last.sequence + 1 { return .new }
        if field.sequence > last.sequence {
            return refused(.sequenceGap(expected: last.sequence + 1, received: field.sequence), last)
        }
        let requests = entry.requests
        guard let index = requests.lastIndex(where: { $0.epoch == field.epoch && $0.sequence == field.sequence }) else {
            return refused(.duplicateForgotten, last)
        }
        let answer = requests[index].answer
        let isKept = requests.count - index <= limits.producerAnswersKept || answer.batch > durable
        return isKept ? .repeated(answer) : refused(.duplicateForgotten, last)
    }

    private func begins(_ field: ProducerField, after batch: BatchNumber, _ hasRoom: () -> Bool) -> IdentityVerdict {
        guard field.sequence == 0 else {
            return .refused(
                AppendRefusal(cause: .sequenceGap(expected: 0, received: field.sequence), after: batch))
        }
        return hasRoom() ? .new : .refused(AppendRefusal(cause: .producersFull, after: .zero))
    }

    private func refused(_ cause: AppendRefusal.Cause, _ last: Request) -> IdentityVerdict {
        .refused(AppendRefusal(cause: cause, after: last.answer.batch))
    }

    /// Takes note of a request. One that is not behind the last is known already, as a checkpoint may hold what is replayed;
    /// but a later one with lower numbers says that the producer was forgotten in between, and began again.
    /// What the batches after `durable` say may be lost: the answers that are kept are counted without them.
    mutating func note(_ field: ProducerField, in log: LogID, _ answer: RequestAnswer, durable: BatchNumber) {
        let request = Request(epoch: field.epoch, sequence: field.sequence, answer: answer)
        if let place = place(of: field, in: log) { return note(request, at: place, durable) }
        add(request, of: Name(log: log, id: unsafe Array(field.id)))
    }

    /// The place of a producer; nil if it is not known. What was looked for last, as a judgement is followed by a note, is
    /// found without a hash.
    private mutating func place(of field: ProducerField, in log: LogID) -> Int? {
        if lastPlace < entries.count, let name = entries[lastPlace]?.name, name.log == log,
            unsafe name.id.elementsEqual(field.id)
        {
            return lastPlace
        }
        guard let place = places[Name(log: log, id: unsafe Array(field.id))] else { return nil }
        lastPlace = place
        return place
    }

    private mutating func add(_ request: Request, of name: Name) {
        let place = free.popLast() ?? entries.count
        if place == entries.count { entries.append(nil) }
        entries[place] = Entry(name: name, requests: [request], use: uses.endNumber)
        places[name] = place
        uses.append((place, request.answer.timestamp))
    }

    private mutating func note(_ request: Request, at place: Int, _ durable: BatchNumber) {
        // Taken out, so that it is changed in its place.
        guard var entry = entries[place].take() else { preconditionFailure("a producer's place is empty") }
        defer { entries[place] = entry }
        guard let last = entry.requests.last, last.answer.timestamp <= request.answer.timestamp else { return }
        if (last.epoch, last.sequence) >= (request.epoch, request.sequence) {
            if last.answer.timestamp < request.answer.timestamp { entry.requests = [request] }
            return
        }
        entry.requests.append(request)
        // Some at once: to move all the others each time costs more than all the rest.
        let surplus = entry.requests.count - limits.producerAnswersKept
        guard surplus >= LogStoreLimits.producerAnswersDroppedAtOnce else { return }
        // As many durable ones as are kept stay: those of later batches may be lost.
        let durableCount = entry.requests.count { $0.answer.batch <= durable }
        let dropped = min(surplus, durableCount - limits.producerAnswersKept)
        if dropped > 0 { entry.requests.removeFirst(dropped) }
    }

    /// Forgets producers that were idle for the window; a few at a time.
    mutating func expire(now: Timestamp) {
        for _ in 0..<LogStoreLimits.identitiesExpiredPerTurn {
            let number = uses.firstNumber
            guard let use = uses.first, isExpired(use.timestamp, now) else { return }
            uses.removeFirst()
            guard let entry = entries[use.place], entry.use == number, let last = entry.requests.last else { continue }
            if isExpired(last.answer.timestamp, now) {
                forget(use.place)
            } else {
                entries[use.place]?.use = uses.endNumber
                uses.append((use.place, last.answer.timestamp))
            }
        }
    }

    /// Has the producers of a log forgotten that was deleted for good; a few at a time.
    mutating func forget(of log: LogID) {
        if !places.isEmpty { deletedLogs.insert(log) }
    }

    /// Forgets the producers of logs that are not there; all at once.
    mutating func forget(where isGone: (LogID) -> Bool) {
        for (place, entry) in entries.enumerated() {
            if let entry, isGone(entry.name.log) { forget(place) }
        }
    }

    /// Goes on with forgetting the producers of deleted logs.
    mutating func sweepSlice() {
        if sweep.logs.isEmpty {
            guard !deletedLogs.isEmpty else { return }
            sweep = (deletedLogs, 0)
            deletedLogs = []
        }
        let end = min(entries.count, sweep.place + LogStoreLimits.identitiesExpiredPerTurn)
        for place in sweep.place..<end {
            if let entry = entries[place], sweep.logs.contains(entry.name.log) { forget(place) }
        }
        sweep = end == entries.count ? ([], 0) : (sweep.logs, end)
    }

    private mutating func forget(_ place: Int) {
        guard let entry = entries[place] else { return }
        places[entry.name] = nil
        entries[place] = nil
        free.append(place)
    }

    private func isExpired(_ timestamp: Timestamp, _ now: Timestamp) -> Bool {
        timestamp.rawValue + LogStoreLimits.producerIdleMicroseconds < now.rawValue
    }
}

// In a checkpoint: u64 log id, u8 bytes of the id, the id, u8 count of requests, for each u64 epoch, u64 sequence, the answer.
extension Producers {
    /// Writes the producer at a place, as far as it is durable. Returns false if there is nothing.
    func write(_ place: Int, durable: BatchNumber, to writer: inout ByteWriter) -> Bool {
        guard let entry = entries[place] else { return false }
        let requests = entry.requests.filter { $0.answer.batch <= durable }.suffix(limits.producerAnswersKept)
        guard !requests.isEmpty else { return false }
        writer.append(entry.name.log.rawValue)
        writer.append(UInt8(entry.name.id.count))
        writer.append(bytes: entry.name.id)
        writer.append(UInt8(requests.count))
        for request in requests {
            writer.append(request.epoch)
            writer.append(request.sequence)
            request.answer.write(to: &writer)
        }
        return true
    }

    mutating func restore(from reader: inout ByteReader) throws(FormatError) {
        let log = LogID(rawValue: try reader.read())
        let id = unsafe try reader.readBytes(Int(try reader.read(UInt8.self)))
        let count: UInt8 = try reader.read()
        guard (1...ProducerField.idBytesMax).contains(id.count), count > 0 else { throw .badField }
        let name = unsafe Name(log: log, id: Array(id))
        for _ in 0..<count {
            let epoch: UInt64 = try reader.read()
            let sequence: UInt64 = try reader.read()
            guard epoch <= ProducerField.numberMax, sequence <= ProducerField.numberMax else { throw .badField }
            let answer = try RequestAnswer(from: &reader)
            let request = Request(epoch: epoch, sequence: sequence, answer: answer)
            if let place = places[name] { note(request, at: place, .zero) } else { add(request, of: name) }
        }
    }

    /// Puts the uses in the order of their times: to be called when all was restored and replayed.
    mutating func putUsesInOrder() {
        var ordered: [(place: Int, timestamp: Timestamp)] = []
        for (place, entry) in entries.enumerated() {
            if let last = entry?.requests.last { ordered.append((place, last.answer.timestamp)) }
        }
        uses = FirstInFirstOut()
        for use in ordered.sorted(by: { $0.timestamp < $1.timestamp }) {
            entries[use.place]?.use = uses.endNumber
            uses.append(use)
        }
    }
}
