import Glibc

@testable import CommitLog

/// The places that the protocol can stand in when an event arrives. A batch has 8192 bytes.
enum CommitStart: String, CaseIterable, Sendable {
    case idle
    /// Idle, configured to let a batch below 1000 bytes wait 500 µs for company.
    case idleLingering
    /// A whole batch was submitted.
    case writing
    /// 4096 bytes were written, the rest is under way.
    case writingRest
    /// All was written, its sync is under way.
    case syncing
    /// 4096 bytes were written; the sync linked to that write has not reported.
    case syncingShort
    case poisoned
}

/// Every event that the protocol can be told, with the values that make a difference.
enum CommitEvent: String, CaseIterable, Sendable {
    case turnedEmpty, turnedStaged, turnedLarge, turnedLate, turnedRipe
    case submitted, submittedEmpty
    case writtenAll, writtenRest, writtenZero, writtenError, writtenBeyond
    case synced, syncCancelled, syncError
    case engineFailed

    var value: CommitState.Event {
        switch self {
        case .turnedEmpty: .turned(stagedBytes: 0, waitedMicroseconds: 0, isRipe: false)
        case .turnedStaged: .turned(stagedBytes: 100, waitedMicroseconds: 200, isRipe: false)
        case .turnedLarge: .turned(stagedBytes: 1000, waitedMicroseconds: 0, isRipe: false)
        case .turnedLate: .turned(stagedBytes: 100, waitedMicroseconds: 500, isRipe: false)
        case .turnedRipe: .turned(stagedBytes: 100, waitedMicroseconds: 0, isRipe: true)
        case .submitted: .submitted(bytes: 8192)
        case .submittedEmpty: .submitted(bytes: 0)
        case .writtenAll: .written(8192)
        case .writtenRest: .written(4096)
        case .writtenZero: .written(0)
        case .writtenError: .written(-ENOSPC)
        case .writtenBeyond: .written(8193)
        case .synced: .synced(0)
        case .syncCancelled: .synced(-ECANCELED)
        case .syncError: .synced(-EIO)
        case .engineFailed: .failed(.engine("it broke"))
        }
    }
}

/// What one cell of the table says.
enum CommitOutcome: Equatable, Sendable {
    case does(CommitState.Action, CommitState.Phase)
    /// A programming error that must not go on in a release build.
    case traps
}

/// The whole protocol, written down a second time: a row for each place, a cell for each event in its order of
/// declaration. nil marks a place that this durability never comes to.
enum CommitTable {
    private typealias Phase = CommitState.Phase

    static func outcome(
        _ start: CommitStart, _ event: CommitEvent, _ durability: CommitState.Durability
    ) -> CommitOutcome? {
        row(start, durability).map { $0[CommitEvent.allCases.firstIndex(of: event)!] }
    }

    private static func row(_ start: CommitStart, _ durability: CommitState.Durability) -> [CommitOutcome]? {
        switch (start, durability) {
        case (.idle, _): idle
        case (.idleLingering, _): idleLingering
        case (.writing, .writeIsDurable): writingDirect
        case (.writing, .syncFollowsWrite): writingBuffered
        case (.writingRest, .writeIsDurable): writingRestDirect
        case (.writingRest, .syncFollowsWrite): writingRestBuffered
        case (.syncing, .syncFollowsWrite): syncing
        case (.syncingShort, .syncFollowsWrite): syncingShort
        case (.syncing, .writeIsDurable), (.syncingShort, .writeIsDurable): nil
        case (.poisoned, _): poisoned
        }
    }

    private static func poison(_ cause: PoisonCause) -> CommitOutcome { .does(.poison(cause), .poisoned(cause)) }
    private static func stays(_ phase: Phase) -> CommitOutcome { .does(.none, phase) }

    private static let noSpace = poison(.write(errno: ENOSPC))
    private static let noProgress = poison(.write(errno: EIO))
    private static let broken = poison(.engine("it broke"))
    private static let whole = Phase.writing(written: 0, total: 8192)
    private static let rest = Phase.writing(written: 4096, total: 8192)
    private static let syncs = Phase.syncing(written: 8192, total: 8192)
    private static let syncsShort = Phase.syncing(written: 4096, total: 8192)
    private static let dead = Phase.poisoned(.write(errno: ENOSPC))

    private static let idle: [CommitOutcome] = [
        stays(.idle), .does(.seal, .idle), .does(.seal, .idle), .does(.seal, .idle), .does(.seal, .idle),
        stays(whole), .traps,
        .traps, .traps, .traps, .traps, .traps,
        .traps, .traps, .traps,
        broken,
    ]
    private static let idleLingering: [CommitOutcome] = [
        stays(.idle), .does(.linger(microseconds: 300), .idle), .does(.seal, .idle), .does(.seal, .idle),
        .does(.seal, .idle),
        stays(whole), .traps,
        .traps, .traps, .traps, .traps, .traps,
        .traps, .traps, .traps,
        broken,
    ]
    private static let writingDirect: [CommitOutcome] = [
        stays(whole), stays(whole), stays(whole), stays(whole), stays(whole),
        .traps, .traps,
        .does(.publish, .idle), .does(.writeRest(from: 4096), rest), noProgress, noSpace, .traps,
        .traps, .traps, .traps,
        broken,
    ]
    private static let writingBuffered: [CommitOutcome] = [
        stays(whole), stays(whole), stays(whole), stays(whole), stays(whole),
        .traps, .traps,
        stays(syncs), stays(syncsShort), noProgress, noSpace, .traps,
        .traps, .traps, .traps,
        broken,
    ]
    private static let writingRestDirect: [CommitOutcome] = [
        stays(rest), stays(rest), stays(rest), stays(rest), stays(rest),
        .traps, .traps,
        .traps, .does(.publish, .idle), noProgress, noSpace, .traps,
        .traps, .traps, .traps,
        broken,
    ]
    private static let writingRestBuffered: [CommitOutcome] = [
        stays(rest), stays(rest), stays(rest), stays(rest), stays(rest),
        .traps, .traps,
        .traps, stays(syncs), noProgress, noSpace, .traps,
        .traps, .traps, .traps,
        broken,
    ]
    private static let syncing: [CommitOutcome] = [
        stays(syncs), stays(syncs), stays(syncs), stays(syncs), stays(syncs),
        .traps, .traps,
        .traps, .traps, .traps, .traps, .traps,
        .does(.publish, .idle), poison(.sync(errno: ECANCELED)), poison(.sync(errno: EIO)),
        broken,
    ]
    private static let syncingShort: [CommitOutcome] = [
        stays(syncsShort), stays(syncsShort), stays(syncsShort), stays(syncsShort), stays(syncsShort),
        .traps, .traps,
        .traps, .traps, .traps, .traps, .traps,
        .does(.writeRest(from: 4096), rest), .does(.writeRest(from: 4096), rest), poison(.sync(errno: EIO)),
        broken,
    ]
    private static let poisoned: [CommitOutcome] = [
        stays(dead), stays(dead), stays(dead), stays(dead), stays(dead),
        .traps, .traps,
        stays(dead), stays(dead), stays(dead), stays(dead), stays(dead),
        stays(dead), stays(dead), stays(dead),
        stays(dead),
    ]
}

/// Brings a state to a place, through events alone.
func commitState(at start: CommitStart, _ durability: CommitState.Durability) -> CommitState {
    var state =
        start == .idleLingering
        ? CommitState(durability: durability, lingerMicroseconds: 500, lingerBytesMax: 1000)
        : CommitState(durability: durability)
    for event in events(to: start, durability) { _ = state.handle(event) }
    return state
}

private func events(to start: CommitStart, _ durability: CommitState.Durability) -> [CommitState.Event] {
    let submitted = CommitState.Event.submitted(bytes: 8192)
    switch start {
    case .idle, .idleLingering: return []
    case .writing: return [submitted]
    case .writingRest:
        return durability == .writeIsDurable
            ? [submitted, .written(4096)] : [submitted, .written(4096), .synced(-ECANCELED)]
    case .syncing: return [submitted, .written(8192)]
    case .syncingShort: return [submitted, .written(4096)]
    case .poisoned: return [submitted, .written(-ENOSPC)]
    }
}
