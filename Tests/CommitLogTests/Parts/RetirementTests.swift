import LogFormat
import Testing

@testable import CommitLog

/// When the files of a segment may go.
@Suite struct RetirementTests {
    private static func checkpoint(_ through: UInt64, anchor: UInt64, kept: [UInt64] = []) -> Checkpoint {
        Checkpoint(
            storeID: StoreID(first: 1, second: 2),
            anchor: ScanAnchor(segment: Position(rawValue: anchor), chain: .beginning),
            through: BatchNumber(rawValue: through), kept: kept.map { Position(rawValue: $0) }, payload: [])
    }

    private static let segments = [0, 100, 200].map { position in
        Segment(
            header: SegmentHeader(
                blockBytes: 10, storeID: StoreID(first: 1, second: 2), position: Position(rawValue: position),
                segmentBytes: 100, created: .zero), chainStart: .beginning, end: Position(rawValue: position + 50))
    }

    private func taken(_ checkpoints: [(Checkpoint, Bool)], leftovers: [UInt64] = []) -> [UInt64] {
        var retirement = Retirement(leftovers: leftovers.map { Position(rawValue: $0) })
        for (checkpoint, isDurable) in checkpoints {
            retirement.begin(checkpoint)
            retirement.end(isDurable: isDurable)
        }
        return retirement.take(from: Self.segments).map(\.rawValue)
    }

    @Test func twoCheckpointsThatDoNotNameASegmentLetItGo() {
        let first = Self.checkpoint(5, anchor: 200, kept: [100])
        let second = Self.checkpoint(6, anchor: 200, kept: [100])
        #expect(taken([(first, true), (second, true)]) == [0])
    }

    @Test func oneCheckpointIsNotEnough() {
        #expect(taken([(Self.checkpoint(5, anchor: 200), true)]).isEmpty)
    }

    @Test func aCheckpointThatReplacesTheLastOneIsNotASecond() {
        let first = Self.checkpoint(5, anchor: 200)
        #expect(taken([(first, true), (first, true)]).isEmpty)
    }

    @Test func whatOneOfTheTwoNamesStays() {
        let first = Self.checkpoint(5, anchor: 200, kept: [0])
        #expect(taken([(first, true), (Self.checkpoint(6, anchor: 200), true)]) == [100])
    }

    @Test func whatIsNotBehindBothAnchorsStays() {
        let first = Self.checkpoint(5, anchor: 100)
        #expect(taken([(first, true), (Self.checkpoint(6, anchor: 200), true)]) == [0])
    }

    @Test func aFailedCheckpointMayBeInPlaceSoTwoMoreAreNeeded() {
        let (first, second, third) = (
            Self.checkpoint(5, anchor: 200), Self.checkpoint(6, anchor: 200, kept: [0]), Self.checkpoint(7, anchor: 200)
        )
        #expect(taken([(first, true), (second, false), (third, true)]).isEmpty)
        #expect(
            taken([(first, true), (second, false), (third, true), (Self.checkpoint(8, anchor: 200), true)]) == [0, 100])
    }

    @Test func leftoversOfAnEarlierProcessGoTheSameWay() {
        let two = [(Self.checkpoint(5, anchor: 0), true), (Self.checkpoint(6, anchor: 0), true)]
        #expect(taken(two, leftovers: [7]).isEmpty)
        let later = [
            (Self.checkpoint(5, anchor: 200, kept: [0, 100]), true),
            (Self.checkpoint(6, anchor: 200, kept: [0, 100]), true),
        ]
        #expect(taken(later, leftovers: [7]) == [7])
    }

    @Test func aRemovalThatFailedIsTriedAgain() {
        var retirement = Retirement(leftovers: [])
        for through in [5, 6] as [UInt64] {
            retirement.begin(Self.checkpoint(through, anchor: 200, kept: [100]))
            retirement.end(isDurable: true)
        }
        #expect(retirement.take(from: Self.segments) == [.zero])
        retirement.removalFailed(.zero)
        #expect(retirement.take(from: Array(Self.segments.dropFirst())) == [.zero])
    }
}
