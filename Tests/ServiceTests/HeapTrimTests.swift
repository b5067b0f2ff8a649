import Testing

@testable import AppendLogService

@Suite struct HeapTrimTests {
    @Test func itTrimsOnceWhenHalfOfManyConnectionsHaveEnded() {
        var trim = HeapTrim()
        let seen = [10_000, 5_001, 5_000, 4_000, 2_501, 2_500].map {
            trim.isDue(connectionCount: $0, isCommitting: false)
        }
        #expect(seen == [false, false, true, false, false, true])
    }

    @Test func fewConnectionsAreNotWorthIt() {
        var trim = HeapTrim()
        let seen = [63, 0].map { trim.isDue(connectionCount: $0, isCommitting: false) }
        #expect(seen == [false, false])
    }

    @Test func itWaitsForTheCommitAndDoesNotForget() {
        var trim = HeapTrim()
        let seen = [(64, false), (0, true), (0, true), (0, false), (0, false)].map {
            trim.isDue(connectionCount: $0.0, isCommitting: $0.1)
        }
        #expect(seen == [false, false, false, true, false])
    }
}
