import LogFormat

/// What those who follow a log look at: durable state only.
public struct FollowedState: Equatable, Sendable {
    /// The first offset that is kept.
    public let first: RecordOffset
    /// The offset behind the last durable record.
    public let next: RecordOffset
    /// No record will come any more.
    public let isClosed: Bool
    /// The log is gone, whatever has its name now.
    public let isDeleted: Bool
}

extension LogStore {
    /// The state of a log that somebody follows. Allocates nothing: it is asked for every such log after every commit.
    public func followedState(_ slot: LogSlot) -> FollowedState {
        FollowedState(
            first: table[slot].first, next: table[slot].durableNext, isClosed: table[slot].isClosed,
            isDeleted: table[slot].isDeleted)
    }
}
