import LogFormat

/// The protocol that decides when a batch may be acknowledged, as a value without I/O or clock.
///
/// The owner feeds it one event at a time and performs the action that comes back; the server's loop and the
/// tests drive the same code.
///
/// - At most one batch is in flight, so the batch before the one being written is always known durable.
/// - A batch is durable when **all** its bytes are written and synced, never before.
/// - A short write goes on from where it stopped; any error poisons, and a poisoned log never acknowledges again.
public struct CommitState: Equatable, Sendable {
    /// What makes a write durable.
    public enum Durability: Equatable, Sendable {
        /// The write itself syncs (O_DIRECT with RWF_DSYNC): one completion.
        case writeIsDurable
        /// A sync is linked behind the write: two completions, the write's first.
        case syncFollowsWrite
    }

    /// Where the one batch in flight stands. `written` counts the bytes already written.
    public enum Phase: Equatable, Sendable {
        case idle
        /// A write of the bytes from `written` on is under way.
        case writing(written: Int, total: Int)
        /// The write has ended; the sync that was linked to it has not.
        case syncing(written: Int, total: Int)
        case poisoned(PoisonCause)
    }

    /// What happened.
    public enum Event: Equatable, Sendable {
        /// The owner has drained what was ready. `stagedBytes` is 0 when nothing waits. What is ripe does not linger: it has
        /// as many records as it may wait for, or somebody asked for its commit.
        case turned(stagedBytes: Int, waitedMicroseconds: Int64, isRipe: Bool)
        /// The sealed batch of this many bytes (with padding) was handed to the disk.
        case submitted(bytes: Int)
        /// The write ended with this many bytes or a negative errno.
        case written(Int32)
        /// The sync ended with 0 or a negative errno.
        case synced(Int32)
        /// The engine failed as a whole: nothing more is heard of what is in flight.
        case failed(PoisonCause)
    }

    /// What the owner must do now.
    public enum Action: Equatable, Sendable {
        case none
        /// Seal the filling batch, hand it to the disk, and report `.submitted`.
        case seal
        /// Come back with `.turned` after this time at the latest.
        case linger(microseconds: Int64)
        /// Write the rest of the batch, from this byte on (with its sync, where one follows).
        case writeRest(from: Int)
        /// The batch in flight is durable: publish it and release everyone in it.
        case publish
        /// Nothing may be acknowledged any more.
        case poison(PoisonCause)
    }

    public private(set) var phase: Phase = .idle
    private let durability: Durability
    private let lingerMicroseconds: Int64
    /// From this many staged bytes on a batch does not linger.
    private let lingerBytesMax: Int

    public init(durability: Durability, lingerMicroseconds: Int64 = 0, lingerBytesMax: Int = .max) {
        precondition(lingerMicroseconds >= 0)
        self.durability = durability
        self.lingerMicroseconds = lingerMicroseconds
        self.lingerBytesMax = lingerBytesMax
    }

    /// True from the first failed write or sync on, for ever.
    public var isPoisoned: Bool {
        if case .poisoned = phase { true } else { false }
    }

    /// True while a batch is with the disk.
    public var isInFlight: Bool {
        switch phase {
        case .writing, .syncing: true
        case .idle, .poisoned: false
        }
    }

    /// Takes one event and says what to do.
    public mutating func handle(_ event: Event) -> Action {
        switch phase {
        case .idle: handleIdle(event)
        case .writing(let written, let total): handleWriting(event, written: written, total: total)
        case .syncing(let written, let total): handleSyncing(event, written: written, total: total)
        case .poisoned: handlePoisoned(event)
        }
    }

    private mutating func handleIdle(_ event: Event) -> Action {
        switch event {
        case .turned(let stagedBytes, let waited, let isRipe):
            guard stagedBytes > 0 else { return .none }
            let remaining = lingerMicroseconds - waited
            let lingers = remaining > 0 && !isRipe && stagedBytes < lingerBytesMax
            return lingers ? .linger(microseconds: remaining) : .seal
        case .submitted(let bytes):
            precondition(bytes > 0, "an empty batch was submitted")
            phase = .writing(written: 0, total: bytes)
            return .none
        case .written, .synced:
            preconditionFailure("a completion arrived with no batch in flight")
        case .failed(let cause): return poison(cause)
        }
    }

    private mutating func handleWriting(_ event: Event, written: Int, total: Int) -> Action {
        switch event {
        case .turned: return .none
        case .submitted: preconditionFailure("a second batch was submitted while one is in flight")
        case .synced: preconditionFailure("the sync completed before the write it is linked to")
        case .failed(let cause): return poison(cause)
        case .written(let result):
            guard result > 0 else { return poison(.write(errno: result == 0 ? noProgressErrno : -result)) }
            let now = written + Int(result)
            precondition(now <= total, "more bytes were written than the batch has")
            switch durability {
            case .syncFollowsWrite:
                phase = .syncing(written: now, total: total)
                return .none
            case .writeIsDurable:
                return advance(written: now, total: total)
            }
        }
    }

    private mutating func handleSyncing(_ event: Event, written: Int, total: Int) -> Action {
        switch event {
        case .turned: return .none
        case .submitted: preconditionFailure("a second batch was submitted while one is in flight")
        case .written: preconditionFailure("a write completed while only its sync was under way")
        case .failed(let cause): return poison(cause)
        case .synced(let result):
            // A short write breaks the link: its sync is cancelled, and the rest of the batch brings its own.
            let cancelled = result == -cancelledErrno && written < total
            guard result == 0 || cancelled else { return poison(.sync(errno: -result)) }
            return advance(written: written, total: total)
        }
    }

    private func handlePoisoned(_ event: Event) -> Action {
        switch event {
        case .submitted: preconditionFailure("a batch was submitted to a poisoned log")
        case .turned, .written, .synced, .failed: .none
        }
    }

    private mutating func advance(written: Int, total: Int) -> Action {
        if written < total {
            phase = .writing(written: written, total: total)
            return .writeRest(from: written)
        }
        phase = .idle
        return .publish
    }

    private mutating func poison(_ cause: PoisonCause) -> Action {
        phase = .poisoned(cause)
        return .poison(cause)
    }
}
