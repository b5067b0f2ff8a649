import LogFormat

/// How long records are kept; nil keeps them for ever. Each limit holds by itself.
public struct Retention: Hashable, Sendable {
    /// Records older than this go.
    public var ageSeconds: UInt64?
    /// The oldest records go while the log has more bytes of records.
    public var bytes: UInt64?
    /// The oldest records go while the log has more records.
    public var records: UInt64?

    public init(ageSeconds: UInt64? = nil, bytes: UInt64? = nil, records: UInt64? = nil) {
        self.ageSeconds = ageSeconds
        self.bytes = bytes
        self.records = records
    }

    var isEmpty: Bool { ageSeconds == nil && bytes == nil && records == nil }
}

/// What a log was told at its creation, or later.
public struct LogSettings: Hashable, Sendable {
    /// The media type of its records, at most 255 bytes of visible ASCII; nil for none.
    public var contentType: [UInt8]?
    public var retention = Retention()
    /// Requests a second that append to it.
    public var appendsPerSecondMax: UInt64?

    public init(
        contentType: [UInt8]? = nil, retention: Retention = Retention(), appendsPerSecondMax: UInt64? = nil
    ) {
        self.contentType = contentType
        self.retention = retention
        self.appendsPerSecondMax = appendsPerSecondMax
    }

    /// Nothing is set.
    var isEmpty: Bool { self == LogSettings() }
}

// On disk: the media type in a field of its own, the numbers in the field `configuration`, four u64: age in seconds, bytes,
// records, appends a second; the highest number stands for "not set".
extension LogSettings {
    private static let unset = UInt64.max
    /// Bytes of the longest media type.
    public static let contentTypeBytesMax = 255

    /// Adds the fields that hold the settings.
    public func write(to fields: inout FieldWriter) {
        precondition(contentType?.count ?? 0 <= Self.contentTypeBytesMax, "a media type is too long")
        if let contentType { fields.append(.contentType, contentType) }
        guard !retention.isEmpty || appendsPerSecondMax != nil else { return }
        var writer = ByteWriter(reservingBytes: 32)
        writeNumbers(to: &writer)
        fields.append(.configuration, writer.bytes)
    }

    /// Takes the settings from a frame; throws where they make no sense.
    public init(_ fields: FieldReader) throws(FormatError) {
        if let value = unsafe fields.value(of: .contentType) {
            guard value.count <= Self.contentTypeBytesMax else { throw .badField }
            contentType = unsafe Array(value)
        }
        guard let value = unsafe fields.value(of: .configuration) else { return }
        var reader = unsafe ByteReader(value)
        try readNumbers(from: &reader)
        guard reader.remainingBytes == 0 else { throw .badField }
    }

    func writeNumbers(to writer: inout ByteWriter) {
        for number in [retention.ageSeconds, retention.bytes, retention.records, appendsPerSecondMax] {
            writer.append(number ?? Self.unset)
        }
    }

    mutating func readNumbers(from reader: inout ByteReader) throws(FormatError) {
        var numbers: [UInt64?] = []
        for _ in 0..<4 {
            let number: UInt64 = try reader.read()
            numbers.append(number == Self.unset ? nil : number)
        }
        retention = Retention(ageSeconds: numbers[0], bytes: numbers[1], records: numbers[2])
        appendsPerSecondMax = numbers[3]
    }
}

/// Settings of a log that has some; most have none.
final class LogSettingsBox: Sendable {
    let settings: LogSettings

    init?(_ settings: LogSettings) {
        if settings.isEmpty { return nil }
        self.settings = settings
    }
}
