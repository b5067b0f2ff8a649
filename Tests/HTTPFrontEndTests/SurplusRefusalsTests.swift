import Testing

@testable import HTTPFrontEnd

struct SurplusRefusalsTests {
    private let second: UInt64 = 1_000_000

    @Test func afterALongQuietOnlyABurstIsGivenAtOnce() {
        var refusals = SurplusRefusals()
        for start: UInt64 in [0, 100_000_000, .max / 2] {
            var given: UInt64 = 0
            while refusals.take(now: start) { given += 1 }
            #expect(given == HTTPLimits.surplusRefusalsAtOnce)
        }
    }

    @Test(arguments: [1, 7, 100, 333, 10_000] as [UInt64])
    func inTheLongRunSoManyAreGivenASecond(step: UInt64) {
        var refusals = SurplusRefusals()
        var given: UInt64 = 0
        let seconds: UInt64 = 5
        for now in stride(from: 0, to: seconds * second, by: Int(step)) {
            while refusals.take(now: now) { given += 1 }
        }
        let most = seconds * HTTPLimits.surplusRefusalsPerSecond + HTTPLimits.surplusRefusalsAtOnce
        #expect(given <= most && given + HTTPLimits.surplusRefusalsAtOnce >= most)
    }

    @Test func aMicrosecondIsNotLost() {
        var refusals = SurplusRefusals()
        while refusals.take(now: 0) {}
        let interval = second / HTTPLimits.surplusRefusalsPerSecond
        var early = 0
        for now in 1...interval where refusals.take(now: now) { early += 1 }
        let isInTime = refusals.take(now: interval + 1)
        #expect(early == 0 && isInTime)
    }
}
