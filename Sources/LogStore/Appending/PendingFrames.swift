import CommitLog
import LogFormat

/// A frame that is staged or in flight, and what its durability makes true.
struct PendingFrame {
    enum Change {
        case create
        case append
        /// The settings stand in `PendingFrames.settings`.
        case configure
        case close
        case delete
        case trim
        /// Records that were durable already have a copy.
        case moved
    }

    let batch: BatchNumber
    let slot: LogSlot
    let change: Change
    let first: RecordOffset
    let count: Int
    let recordBytes: Int
    /// The frame's place in its batch.
    let byteOffset: Int
    /// Bytes of the whole frame.
    let byteCount: Int
    let timestamp: Timestamp
}

/// The pending frames in the order in which they were staged.
struct PendingFrames {
    private var frames: [PendingFrame] = []
    private var head = 0
    /// Those of the pending frames that configure a log, in their order.
    private var settings: [LogSettingsBox?] = []

    mutating func append(_ frame: PendingFrame) { frames.append(frame) }

    mutating func append(_ frame: PendingFrame, settings box: LogSettingsBox?) {
        frames.append(frame)
        settings.append(box)
    }

    /// The settings of the frame just taken.
    mutating func popSettings() -> LogSettingsBox? { settings.removeFirst() }

    /// The oldest frame, if it is in this batch.
    mutating func popFirst(in batch: BatchNumber) -> PendingFrame? {
        guard head < frames.count, frames[head].batch == batch else {
            if head == frames.count {
                frames.removeAll(keepingCapacity: true)
                head = 0
            } else if head > 4096 {
                frames.removeFirst(head)
                head = 0
            }
            return nil
        }
        head += 1
        return frames[head - 1]
    }
}
