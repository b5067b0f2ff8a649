import Glibc
import LogFormat

/// Where the segment after the active one stands.
enum SpareState {
    case none
    case preparing
    case ready(SegmentHeader, descriptor: Int32)
    /// Could not be made; tried again from this monotonic time on.
    case failed(FileError, retryAt: Int64)
}

extension CommitLog {
    /// Makes the spare segment the active one. The caller has made sure that there is one.
    func turnSegment() {
        guard case .ready(let header, let descriptor) = spare else {
            preconditionFailure("a batch was staged that fits no segment")
        }
        device.target(descriptor)
        fileSystem.close(activeDescriptor)
        activeDescriptor = descriptor
        let segment = Segment(header: header, chainStart: chain, end: header.position + Int(header.blockBytes))
        segments.append(segment)
        remainingBytes = segment.remainingBytes
        spare = .none
        prepareSpare()
    }

    /// Asks the maintenance thread for the segment after the active one.
    func prepareSpare() {
        let now = clock.monotonicMicroseconds
        maintenance.pace(bytesPerSecond: fillRate.pace(now: now, bytesWritten: counters.bytes))
        spare = .preparing
        maintenance.post(.prepare(spareHeader()))
    }

    func spareHeader() -> SegmentHeader {
        SegmentHeader(
            blockBytes: UInt32(engine.blockBytes), storeID: storeID, position: active.limit,
            segmentBytes: UInt64(configuration.segmentBytes), created: clock.now,
            incompatibleFeatures: configuration.content.features)
    }

    /// Tries again to make a spare, a while after it failed.
    func retrySpare() {
        guard case .failed(_, let retryAt) = spare, clock.monotonicMicroseconds >= retryAt else { return }
        prepareSpare()
    }

    func takeMaintenance(_ result: inout LoopEvents) {
        for outcome in maintenance.takeOutcomes() {
            switch outcome {
            case .prepared(let header, .success(let descriptor)):
                spare = .ready(header, descriptor: descriptor)
            case .prepared(_, .failure(let error)):
                let retryAt = clock.monotonicMicroseconds + CommitLogLimits.spareRetryMicroseconds
                spare = .failed(error, retryAt: retryAt)
            case .finished(let file):
                noteFinished(file)
                result.finishedFiles.append(file)
            }
        }
    }

    /// Puts the index of a sealed segment beside it; a `FinishedFile` reports how that went.
    public func writeIndex(_ bytes: [UInt8], of segment: Position) {
        maintenance.post(.writeIndex(segment, bytes))
    }

    /// The first batch of the active segment: where a checkpoint that is begun now lets a later start begin to scan.
    public var scanAnchor: ScanAnchor {
        ScanAnchor(segment: active.position, chain: active.chainStart)
    }

    /// Makes a checkpoint durable; a `FinishedFile` reports how that went. The payload says at least what the batches
    /// before the anchor said, and nothing that is not durable. `kept` are the segments before the anchor that hold
    /// records of logs: those that it does not name are retired when a second checkpoint does not name them either.
    public func writeCheckpoint(_ payload: [UInt8], anchor: ScanAnchor, kept: [Position]) {
        let checkpoint = Checkpoint(
            storeID: storeID, anchor: anchor, through: durable.number, kept: kept, payload: payload)
        retirement.begin(checkpoint)
        maintenance.post(.writeCheckpoint(checkpoint))
    }
}

extension FrameKind {
    /// Bytes that it leaves of a reserve: what adds to what is kept leaves it whole to what does not, and copies leave half
    /// of it to what frees space at once.
    func bytesLeft(of reserve: Int) -> Int {
        switch self {
        case .append, .create, .configure: reserve
        case .moved: reserve / 2
        case .close, .delete, .trim, .seal, .epoch, .lost: 0
        }
    }
}
