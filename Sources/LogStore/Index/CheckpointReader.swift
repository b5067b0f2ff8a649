import LogFormat

/// Reads the payload of a checkpoint, log after log.
@safe
public struct CheckpointReader {
    /// One log.
    public struct Log: Equatable, Sendable {
        public let id: LogID
        public let created: Timestamp
        public let first: RecordOffset
        public let next: RecordOffset
        /// Bytes of its records.
        public let bytes: UInt64
        public let isClosed: Bool
        /// The timestamp of its last record.
        public let lastAppend: Timestamp
        /// A valid name.
        public let name: [UInt8]
        public let settings: LogSettings
    }

    /// The id of the next log that is made.
    public let nextID: LogID
    public let lastTimestamp: Timestamp
    /// Logs with an id below it that are not in the payload were deleted.
    public let knownBelow: LogID
    private var producerCount: UInt32
    private var keyCount: UInt32
    private var reader: ByteReader
    private var remaining: UInt32

    /// Throws a `FormatError` for anything but a payload of this version. The bytes must outlive the reader.
    public init(_ payload: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = unsafe ByteReader(payload)
        let version: UInt32 = try reader.read()
        guard version == CheckpointBuilder.version else { throw .unsupportedVersion(version) }
        remaining = try reader.read()
        nextID = LogID(rawValue: try reader.read())
        lastTimestamp = Timestamp(rawValue: try reader.read())
        knownBelow = LogID(rawValue: try reader.read())
        producerCount = try reader.read()
        keyCount = try reader.read()
        guard nextID > .none, nextID.rawValue <= UInt64(Int64.max), knownBelow <= nextID else { throw .badField }
        self.reader = reader
    }

    /// The next log; nil behind the last.
    public mutating func next() throws(FormatError) -> Log? {
        guard remaining > 0 else { return nil }
        remaining -= 1
        let id = LogID(rawValue: try reader.read())
        let created = Timestamp(rawValue: try reader.read())
        let first = RecordOffset(rawValue: try reader.read())
        let next = RecordOffset(rawValue: try reader.read())
        let bytes: UInt64 = try reader.read()
        let isClosed: UInt8 = try reader.read()
        let lastAppend = Timestamp(rawValue: try reader.read())
        let name = unsafe try reader.readBytes(Int(try reader.read(UInt8.self)))
        let contentType = unsafe try reader.readBytes(Int(try reader.read(UInt8.self)))
        var settings = LogSettings(contentType: unsafe contentType.isEmpty ? nil : Array(contentType))
        try settings.readNumbers(from: &reader)
        guard unsafe LogName.isValid(name), first <= next, id < knownBelow, bytes <= UInt64(Int64.max), isClosed <= 1
        else {
            throw .badField
        }
        return Log(
            id: id, created: created, first: first, next: next, bytes: bytes, isClosed: isClosed == 1,
            lastAppend: lastAppend, name: unsafe Array(name), settings: settings)
    }

    /// Reads what follows the logs; to be called behind the last of them.
    mutating func restore(_ producers: inout Producers, _ keys: inout IdempotencyKeys) throws(FormatError) {
        precondition(remaining == 0, "the logs come first")
        for _ in 0..<producerCount { try producers.restore(from: &reader) }
        for _ in 0..<keyCount { try keys.restore(from: &reader) }
        guard reader.remainingBytes == 0 else { throw .badLength }
    }
}
