import Glibc
import Testing

@testable import WriteAheadLog

struct ReadingTests {
    /// Over several segments, from every record and from between two.
    @Test(arguments: [WriteAheadLog.Configuration.Engine.ioURing, .syscalls], [false, true])
    func readingBeginsAnywhere(engine: WriteAheadLog.Configuration.Engine, isBuffered: Bool) throws {
        let disk = LogOnDisk()
        let change = { (configuration: inout WriteAheadLog.Configuration) in
            configuration.engine = engine
            configuration.directIO = isBuffered ? .off : .on
        }
        for opening in 0..<2 {
            let log = try disk.open(change)
            let count = 60
            for index in 0..<count {
                let group = (0..<3).map { sample(opening * 1_000 + index * 3 + $0, bytes: 10_000 + index) }
                _ = try log.append(contentsOf: group)
            }
            try log.flush()
            let all = try log.all()
            #expect(all.count == (opening + 1) * 3 * count)
            #expect(log.statistics.diskBytes > 2 << 20)
            #expect(zip(all, all.dropFirst()).allSatisfy { $0.timestamp <= $1.timestamp })
            for index in stride(from: 0, to: all.count, by: 7) {
                let here = try log.records(from: all[index].position)
                #expect(try here.next() == all[index])
                let between = try log.records(from: RecordPosition(rawValue: all[index].position.rawValue + 1))
                #expect(try between.next() == (index + 1 < all.count ? all[index + 1] : nil))
            }
            try log.shutdown()
        }
    }

    @Test func aReaderAtTheEndGoesOnWhenMoreIsDurable() throws {
        let disk = LogOnDisk()
        let (log, gate) = try disk.openGated()
        let reader = try log.records(from: .zero)
        #expect(try reader.next() == nil)
        for index in 0..<50 {
            gate.hold()
            let token = try log.append(sample(index, bytes: 30_000))
            #expect(becomes { gate.isHolding })
            #expect(try reader.next() == nil)
            gate.release()
            try token.wait()
            #expect(try reader.next()?.bytes == sample(index, bytes: 30_000))
            #expect(reader.position == log.statistics.durable)
        }
        let sum = try log.records(from: .zero).next { bytes, _, position in bytes.byteCount + Int(position.rawValue) }
        #expect(sum == 30_000)
    }

    @Test func readersFollowWritersAndSeeEachRecordOnce() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let threads = 4
        let count = 400
        let found = Guarded<[[Int]]>([])
        onThreads(threads + 2) { thread in
            do {
                if thread < threads {
                    for index in 0..<count { _ = try log.append(sample(thread * count + index, bytes: 3_000)) }
                    return
                }
                let reader = try log.records(from: .zero)
                var seen: [Int] = []
                while seen.count < threads * count {
                    guard let record = try reader.next() else {
                        usleep(100)
                        continue
                    }
                    let text = String(decoding: record.bytes[7..<14], as: UTF8.self)
                    seen.append(Int(text.prefix { $0.isNumber })!)
                }
                found.withLock { $0.append(seen) }
            } catch { Issue.record(error) }
        }
        let seen = found.withLock { $0 }
        #expect(seen.count == 2 && seen[0] == seen[1])
        #expect(seen[0].sorted() == Array(0..<threads * count))
    }

    @Test func thereIsNoReaderBehindTheEnd() throws {
        let disk = LogOnDisk()
        let log = try disk.open()
        let end = try log.append(sample(0)).wait().next
        #expect(try log.records(from: end).next() == nil)
        let beyond = RecordPosition(rawValue: end.rawValue + 1)
        #expect(throws: WriteAheadLogError.beyondEnd(next: end)) { _ = try log.records(from: beyond) }
        #expect(throws: WriteAheadLogError.beyondEnd(next: end)) { _ = try log.truncateFront(before: beyond) }
    }

    @Test func aFlippedByteIsNeverShown() throws {
        let disk = LogOnDisk()
        let log = try disk.open { $0.directIO = .off }
        for index in 0..<3 { try log.append(sample(index)).wait() }
        // Behind the header's block and the epoch's: the third block holds the first record.
        let path = "\(disk.path)/wal/\(disk.segmentNames.sorted()[0])"
        let descriptor = open(path, O_RDWR)
        let place = 2 * 4096 + 64 + 48 + 4 + 3
        pwrite(descriptor, "X", 1, off_t(place))
        close(descriptor)
        let reader = try log.records(from: .zero)
        for _ in 0..<2 {
            let error = #expect(throws: WriteAheadLogError.self) { _ = try reader.next() }
            guard case .damaged = error else { throw error! }
        }
    }
}
