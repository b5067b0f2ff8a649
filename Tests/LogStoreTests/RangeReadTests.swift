import LogFormat
import Testing

@testable import LogStore

/// Reads that begin at a time, that are cut into slices, and whose records are trimmed.
@Suite struct RangeReadTests {
    /// A log whose frames lie in several segments, between those of another one; the timestamp of each of its records.
    private func filled(_ disk: StoreOnDisk) throws -> [Timestamp] {
        var stamps: [Timestamp] = []
        for number in 0..<120 {
            let body = Array(repeating: [UInt8](repeating: UInt8(number), count: 40_000), count: number % 3)
            try disk.append("other", [UInt8](repeating: 0xFF, count: number * 100 + 1))
            let framed = body.flatMap { withUnsafeBytes(of: UInt32($0.count).littleEndian, Array.init) + $0 }
            guard !framed.isEmpty else { continue }
            let ticket = try append(disk, framed)
            stamps += Array(repeating: ticket.timestamp, count: ticket.count)
        }
        return stamps
    }

    /// Appends records and waits until they are durable, and before that, where there is no room, for a commit.
    private func append(_ disk: StoreOnDisk, _ framed: [UInt8]) throws -> AppendTicket {
        while true {
            switch try disk.attempt("log", framed, as: .framed) {
            case .staged(let ticket):
                disk.settle { disk.store.wal.durable.number >= ticket.batch }
                return ticket
            case .busy: disk.turn()
            case let outcome: throw Refused(outcome: outcome)
            }
        }
    }

    /// The offsets that a read gives, and how often it paused.
    private func offsets(
        _ disk: StoreOnDisk, at start: ReadStart, limit: Int = 3
    ) throws -> (offsets: [UInt64], next: UInt64, steps: Int) {
        let slot = try #require(disk.slot("log"))
        let sink = CollectingSink(limit: limit)
        let read = disk.store.beginRead(slot, at: start)
        var steps = 0
        while true {
            steps += 1
            switch disk.store.step(read, into: sink) {
            case .finished: return (sink.offsets, read.next.rawValue, steps)
            case .waiting: disk.settle { read.fetch == .none }
            case .paused: continue
            case .gone: throw DeletedLog()
            case .trimmed(let first): throw TrimmedRead(first: first)
            case .lost(let next): throw LostRead(next: next)
            case .damaged(let position): throw DamagedRead(position: position)
            case .failed(let error): throw error
            }
        }
    }

    @Test func aTimeFindsTheFirstRecordThatIsNotOlderWithoutAScan() throws {
        let disk = try StoreOnDisk()
        let stamps = try filled(disk)
        #expect(disk.store.wal.segments.count > 2)
        for stamp in Set(stamps).sorted() {
            for time in [stamp.rawValue - 1, stamp.rawValue, stamp.rawValue + 1] {
                let expected = stamps.filter { $0.rawValue < time }.count
                let found = try offsets(disk, at: .time(Timestamp(rawValue: time)), limit: 1)
                #expect(found.offsets == (expected < stamps.count ? [UInt64(expected)] : []))
                if expected == stamps.count { #expect(found.next == UInt64(expected)) }
                // Seven probes for 120 records, each of at most an index, a frame's header and the frame, and the read.
                #expect(found.steps <= 8 * 4)
            }
        }
    }

    @Test func aTimeSearchEndsWhereTheRecordIsWhateverTheFrames() {
        for count in 1...40 {
            for frame in 1...5 {
                for target in 0...count {
                    let wanted = min(count, (target + frame - 1) / frame * frame)
                    var search = TimeSearch(from: .zero, to: RecordOffset(rawValue: UInt64(count)))
                    var probes = 0
                    while let current = search, !current.isFound {
                        let first = Int(current.probe.rawValue) / frame * frame
                        let end = RecordOffset(rawValue: UInt64(first + frame))
                        search?.note(
                            first: RecordOffset(rawValue: UInt64(first)), end: end, isOlder: first < target)
                        probes += 1
                    }
                    #expect(search?.probe.rawValue == UInt64(wanted))
                    #expect(probes <= 7)
                }
            }
        }
    }

    @Test func aLongReadPausesAndGivesEverythingOnce() throws {
        let disk = try StoreOnDisk()
        let lengths = [UInt8](repeating: 0, count: 4 * 10_000)
        _ = try append(disk, lengths)
        let read = try offsets(disk, at: .first, limit: .max)
        #expect(read.offsets == Array(0..<10_000))
        let recordsPerStep = LogStoreLimits.stepBytesMax / LogStoreLimits.stepBytesPerRecord
        #expect(read.steps >= 10_000 / recordsPerStep)
    }

    @Test func belowTheFirstKeptRecordAReadSaysSoAndARelativeOneBeginsThere() throws {
        let disk = try StoreOnDisk()
        let stamps = try filled(disk)
        let slot = try #require(disk.slot("log"))
        let first = RecordOffset(rawValue: 50)
        disk.store.table[slot].first = first
        #expect(throws: TrimmedRead(first: first)) { try offsets(disk, at: .offset(RecordOffset(rawValue: 49))) }
        #expect(throws: TrimmedRead(first: first)) { try offsets(disk, at: .offset(.zero)) }
        for start in [ReadStart.offset(first), .first, .last(1_000), .time(.zero), .time(stamps[20])] {
            #expect(try offsets(disk, at: start).offsets == [50, 51, 52])
        }
        #expect(try offsets(disk, at: .last(2)).offsets == [UInt64(stamps.count - 2), UInt64(stamps.count - 1)])
        disk.store.table[slot].first = RecordOffset(rawValue: UInt64(stamps.count))
        #expect(throws: TrimmedRead.self) { try offsets(disk, at: .offset(first)) }
        for start in [ReadStart.first, .last(5), .time(.zero), .tail] {
            let read = try offsets(disk, at: start)
            #expect(read.offsets == [] && read.next == UInt64(stamps.count))
        }
    }

    /// Trimmed after the read began and before, or while, it gives records.
    @Test func aTrimUnderAReadIsNoDamage() throws {
        let disk = try StoreOnDisk()
        _ = try filled(disk)
        let slot = try #require(disk.slot("log"))
        let first = RecordOffset(rawValue: 60)
        for (start, isRefused) in [(ReadStart.offset(.zero), true), (.first, false), (.time(.zero), false)] {
            disk.store.table[slot].first = .zero
            let sink = CollectingSink(limit: 2)
            let read = disk.store.beginRead(slot, at: start)
            #expect(disk.store.step(read, into: sink) == .waiting)
            disk.settle { read.fetch == .none }
            disk.store.table[slot].first = first
            var progress = disk.store.step(read, into: sink)
            while progress == .waiting || progress == .paused {
                disk.settle { read.fetch == .none }
                progress = disk.store.step(read, into: sink)
            }
            #expect(progress == (isRefused ? .trimmed(first: first) : .finished))
            #expect(sink.offsets == (isRefused ? [] : [60, 61]))
        }
    }
}
