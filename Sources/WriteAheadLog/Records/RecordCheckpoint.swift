import CommitLog
import LogFormat

/// What a checkpoint says of a stream of records: where it begins, and where each segment's part of it does.
///
/// Little-endian: u32 version, u32 count of segments, u64 first position kept, u64 timestamp of the last frame, then for
/// each segment u64 its position and u64 the place of the stream before its first batch. The last segment is the anchor's.
struct RecordCheckpoint: Equatable {
    private static let version: UInt32 = 1
    /// Above all places and times, far enough from the end of their integers to count on from.
    static let numberMax = UInt64(Int64.max)

    let first: RecordPosition
    let lastTimestamp: Timestamp
    let segments: [RecordIndex.Segment]

    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.append(Self.version)
        writer.append(UInt32(segments.count))
        writer.append(first.rawValue)
        writer.append(lastTimestamp.rawValue)
        for segment in segments {
            writer.append(segment.position.rawValue)
            writer.append(segment.first.rawValue)
        }
        return writer.bytes
    }

    init(first: RecordPosition, lastTimestamp: Timestamp, segments: [RecordIndex.Segment]) {
        self.first = first
        self.lastTimestamp = lastTimestamp
        self.segments = segments
    }

    /// Throws a `FormatError` for anything but a whole payload of this version.
    init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = unsafe ByteReader(bytes)
        let version: UInt32 = try reader.read()
        guard version == Self.version else { throw .unsupportedVersion(version) }
        let count = Int(try reader.read(UInt32.self))
        first = RecordPosition(rawValue: try reader.read())
        lastTimestamp = Timestamp(rawValue: try reader.read())
        var segments: [RecordIndex.Segment] = []
        for _ in 0..<count {
            let segment = RecordIndex.Segment(
                position: Position(rawValue: try reader.read()), first: RecordPosition(rawValue: try reader.read()))
            if let last = segments.last {
                guard last.position < segment.position && last.first <= segment.first else { throw .badField }
            }
            segments.append(segment)
        }
        guard reader.remainingBytes == 0 else { throw .badLength }
        let numbers =
            [first.rawValue, lastTimestamp.rawValue] + segments.flatMap { [$0.position.rawValue, $0.first.rawValue] }
        guard numbers.allSatisfy({ $0 < Self.numberMax }) else { throw .badField }
        self.segments = segments
    }
}
