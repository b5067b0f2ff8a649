import Testing

@testable import LogFormat

@Suite struct IdentifierTests {
    @Test func positionsMoveForthAndBack() {
        let position = Position(rawValue: 4096)
        #expect(position + 100 == Position(rawValue: 4196))
        #expect(position + -96 == Position(rawValue: 4000))
        #expect(position + 100 - position == 100)
        #expect(position - (position + 100) == -100)
        #expect(Position.zero < position)
    }

    @Test func offsetsCountRecords() {
        let offset = RecordOffset(rawValue: 5)
        #expect(offset + 3 == RecordOffset(rawValue: 8))
        #expect(offset + 3 - offset == 3)
        #expect(offset - (offset + 3) == -3)
    }

    @Test func numbersCountUpByOne() {
        #expect(LogID.none.next == LogID(rawValue: 1))
        #expect(BatchNumber.zero.next == BatchNumber(rawValue: 1))
        #expect(Epoch(rawValue: 8).next == Epoch(rawValue: 9))
        #expect(Timestamp(rawValue: 41).next == Timestamp(rawValue: 42))
    }

    @Test func theNumberAfterTheLastOneDoesNotTrap() {
        #expect(BatchNumber(rawValue: .max).next == .zero)
    }

    @Test func aStoreIDIsShownInItsOrderOnDisk() {
        let storeID = SampleBatch.several.storeID
        #expect(storeID.description == "000102030405060708090a0b0c0d0e0f")
    }

    @Test func randomStoreIDsDiffer() {
        #expect(StoreID.random() != StoreID.random())
    }

    @Test func numbersAreShownBare() {
        #expect("\(Position(rawValue: 8192))" == "8192")
        #expect("\(Epoch(rawValue: 2))" == "2")
    }
}
