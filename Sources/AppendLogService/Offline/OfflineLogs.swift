import LogFormat
import WriteAheadLog

/// The logs that the frames of a data directory speak of, followed frame by frame. Frames that contradict the ones
/// before them are damage, although their checksums are right.
public struct OfflineLogs {
    /// One log.
    public struct Log: Equatable, Sendable {
        public let name: [UInt8]
        /// The offset that the next record would get.
        public fileprivate(set) var next = RecordOffset.zero
        /// Bytes of its records.
        public fileprivate(set) var bytes: UInt64 = 0
    }

    public private(set) var byID: [LogID: Log] = [:]
    private var lastTimestamp = Timestamp.zero

    public init() {}

    /// Takes a frame that begins at `position` of `file`.
    public mutating func take(_ frame: FrameView, at position: Position, in file: String) throws(WriteAheadLogError) {
        let header = frame.header
        func damage(_ cause: String) -> WriteAheadLogError {
            .damaged(Damage(file: file, position: position, cause: cause))
        }
        switch header.kind {
        case .create:
            guard let name = unsafe frame.fields.value(of: .logName).map({ unsafe Array($0) }) else {
                throw damage("a log is made without a name")
            }
            guard byID[header.logID] == nil else { throw damage("log \(header.logID) is made twice") }
            byID[header.logID] = Log(name: name)
        case .append:
            guard let log = byID[header.logID] else {
                throw damage("records of log \(header.logID), which is not there")
            }
            guard header.firstOffset == log.next else {
                throw damage("records of log \(header.logID) begin at \(header.firstOffset), not at \(log.next)")
            }
            byID[header.logID]?.next = log.next + Int(header.recordCount)
            byID[header.logID]?.bytes += UInt64(header.payloadBytes)
        case .seal, .epoch: return
        case .configure, .close, .delete, .trim, .moved:
            throw .unsupported(file: file, what: "a frame of kind \(header.kind) at position \(position)")
        }
        guard header.timestamp >= lastTimestamp else { throw damage("a timestamp lies before the last one") }
        lastTimestamp = header.timestamp
    }
}

extension OfflineLog {
    /// Calls `visit` with each frame of the log, in order, with its position and its file.
    public func forEachFrame(
        _ visit: (
            _ frame: FrameView, _ batch: BatchHeader, _ position: Position, _ file: String
        ) throws(WriteAheadLogError) -> Void
    ) throws(WriteAheadLogError) -> OfflineTail {
        try walk { (batch, position, file) throws(WriteAheadLogError) in
            var offset = batch.nextFrameOffset
            while let frame = try Self.nextFrame(of: &batch, position + offset, file) {
                try visit(frame, batch.header, position + offset, file)
                offset = batch.nextFrameOffset
            }
        }
    }

    private static func nextFrame(
        of batch: inout BatchView, _ position: Position, _ file: String
    ) throws(WriteAheadLogError) -> FrameView? {
        do throws(FormatError) { return try batch.nextFrame() } catch {
            throw .damaged(Damage(file: file, position: position, cause: error.description))
        }
    }
}
