import Glibc
import Testing

@testable import CommitLog

/// One cell of the table.
struct CommitCell: Sendable, Codable, CustomTestStringConvertible {
    private let startIndex: Int
    private let eventIndex: Int
    let isDirect: Bool

    var start: CommitStart { CommitStart.allCases[startIndex] }
    var event: CommitEvent { CommitEvent.allCases[eventIndex] }
    var durability: CommitState.Durability { isDirect ? .writeIsDurable : .syncFollowsWrite }
    var expected: CommitOutcome? { CommitTable.outcome(start, event, durability) }
    var testDescription: String { "\(start) × \(event), \(isDirect ? "direct" : "buffered")" }

    /// Every cell that can be reached.
    static let all: [CommitCell] = CommitStart.allCases.indices.flatMap { start in
        CommitEvent.allCases.indices.flatMap { event in
            [true, false].map { CommitCell(startIndex: start, eventIndex: event, isDirect: $0) }
        }
    }.filter { $0.expected != nil }

    static let acting = all.filter { $0.expected != .traps }
    static let trapping = all.filter { $0.expected == .traps }
}

struct CommitStateTests {
    @Test(arguments: CommitCell.acting)
    func eachPhaseAnswersEachEventAsTheTableSays(_ cell: CommitCell) {
        var state = commitState(at: cell.start, cell.durability)
        let action = state.handle(cell.event.value)
        #expect(CommitOutcome.does(action, state.phase) == cell.expected)
        let isInFlight =
            switch state.phase {
            case .writing, .syncing: true
            case .idle, .poisoned: false
            }
        #expect(state.isInFlight == isInFlight)
    }

    /// One process for all cells: its handler of the trap's signal goes on with the next cell, as deep as it takes.
    @Test func eachEventThatCannotHappenTraps() async {
        #expect(CommitCell.trapping.count == 80)
        await #expect(processExitsWith: .exitCode(40)) {
            signal(SIGILL) { _ in tryNextTrap() }
            signal(SIGTRAP) { _ in tryNextTrap() }
            tryNextTrap()
        }
    }

    @Test func anEventThatCannotHappenEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            var state = CommitState(durability: .writeIsDurable)
            _ = state.handle(.written(4096))
        }
    }

    @Test(arguments: [CommitState.Durability.writeIsDurable, .syncFollowsWrite])
    func aPoisonedLogNeverActsAgain(_ durability: CommitState.Durability) {
        for start in [CommitStart.writing, .writingRest, .syncing, .syncingShort] {
            for failure in CommitEvent.allCases {
                guard case .does(.poison(let cause), _)? = CommitTable.outcome(start, failure, durability) else {
                    continue
                }
                var state = commitState(at: start, durability)
                _ = state.handle(failure.value)
                for event in CommitEvent.allCases where event != .submitted && event != .submittedEmpty {
                    #expect(state.handle(event.value) == .none)
                    #expect(state.phase == .poisoned(cause))
                    #expect(state.isPoisoned)
                }
            }
        }
    }

    @Test func aBatchWrittenInManyPiecesIsPublishedOnceWithItsLastByte() {
        for durability in [CommitState.Durability.writeIsDurable, .syncFollowsWrite] {
            var state = CommitState(durability: durability)
            _ = state.handle(.submitted(bytes: 10))
            for written in 1...9 {
                var action = state.handle(.written(1))
                if durability == .syncFollowsWrite {
                    #expect(action == .none)
                    action = state.handle(.synced(-ECANCELED))
                }
                #expect(action == .writeRest(from: written))
            }
            var action = state.handle(.written(1))
            if durability == .syncFollowsWrite {
                #expect(action == .none)
                action = state.handle(.synced(0))
            }
            #expect(action == .publish)
            #expect(state.phase == .idle)
        }
    }
}

/// The cells that have been tried in this process, which has one thread.
nonisolated(unsafe) private var triedCount = 0

/// Gives the next cell's event to a state that it must end. Ends the process with 40 when no cell is left, with 41
/// when an event was taken.
private func tryNextTrap() {
    guard triedCount < CommitCell.trapping.count else { _exit(40) }
    let cell = CommitCell.trapping[triedCount]
    triedCount += 1
    // The signal is blocked while its handler runs.
    var blocked = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGILL)
    sigaddset(&blocked, SIGTRAP)
    pthread_sigmask(SIG_UNBLOCK, &blocked, nil)
    var state = commitState(at: cell.start, cell.durability)
    let action = state.handle(cell.event.value)
    print("\(cell.testDescription) was answered with \(action)")
    _exit(41)
}
