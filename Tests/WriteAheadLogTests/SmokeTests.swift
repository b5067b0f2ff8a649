import Testing
import WriteAheadLog

struct SmokeTests {
    @Test func appendsWaitReadTruncateReopen() throws {
        let directory = "/work/tmp-smoke-\(UInt32.random(in: 0 ... .max))"
        let log = try WriteAheadLog.open(directory)
        let token = try log.append(Array("hello".utf8))
        let result = try token.wait()
        #expect(result.position == .zero)
        let group = try log.append(contentsOf: [Array("a".utf8), [], Array("ccc".utf8)]).wait()
        #expect(group.position.rawValue == 9)
        let reader = try log.records(from: .zero)
        var found: [String] = []
        while let record = try reader.next() { found.append(String(decoding: record.bytes, as: UTF8.self)) }
        #expect(found == ["hello", "a", "", "ccc"])
        print(log.statistics, log.recovery)
        try log.truncateFront(before: group.position).wait()
        #expect(throws: WriteAheadLogError.truncated(first: group.position)) { _ = try log.records(from: .zero) }
        try log.shutdown()
        try log.shutdown()
        let again = try WriteAheadLog.open(directory)
        print(again.recovery)
        #expect(again.recovery.first == group.position)
        #expect(try again.append([1, 2]).wait().position == group.next)
        try again.shutdown()
    }
}
