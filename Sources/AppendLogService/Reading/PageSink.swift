import LogFormat
import LogStore

/// Takes the records of a page and encodes them, until the page has enough.
class PageSink: RecordSink {
    private let query: RecordPageQuery
    private(set) var recordCount = 0
    private var recordBytes = 0
    /// The first record in the page; nil while it is empty.
    private(set) var first: RecordOffset?
    /// The offset behind the last record in the page.
    private(set) var next = RecordOffset.zero
    /// A further record was refused.
    private var hasRefused = false
    /// The page, encoded.
    fileprivate(set) var output = JSONWriter()

    init(_ query: RecordPageQuery) {
        self.query = query
    }

    /// Whether no further record, whatever it were, would be taken: the page will never be longer.
    var isFull: Bool { hasRefused || recordCount == query.limit || recordBytes > query.bytes }

    /// The sink of a form.
    static func sink(for form: PageForm, _ query: RecordPageQuery) -> PageSink {
        switch form {
        case .lines: LineSink(query)
        case .framed: FrameSink(query)
        case .raw: RawSink(query)
        }
    }

    final override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        if recordCount == query.limit || recordCount > 0 && recordBytes + record.count > query.bytes {
            hasRefused = true
            return false
        }
        if recordCount == 0 { first = offset }
        unsafe encode(offset, timestamp, record)
        recordCount += 1
        recordBytes += record.count
        next = offset + 1
        return true
    }

    fileprivate func encode(_ offset: RecordOffset, _ timestamp: Timestamp, _ record: UnsafeRawBufferPointer) {
        preconditionFailure("a sink of a form encodes")
    }
}

private final class LineSink: PageSink {
    override func encode(_ offset: RecordOffset, _ timestamp: Timestamp, _ record: UnsafeRawBufferPointer) {
        unsafe output.recordLine(offset: offset, timestamp: timestamp, record: record)
    }
}

private final class FrameSink: PageSink {
    override func encode(_ offset: RecordOffset, _ timestamp: Timestamp, _ record: UnsafeRawBufferPointer) {
        unsafe withUnsafeBytes(of: UInt32(record.count).littleEndian) { unsafe output.raw($0) }
        unsafe output.raw(record)
    }
}

private final class RawSink: PageSink {
    override func encode(_ offset: RecordOffset, _ timestamp: Timestamp, _ record: UnsafeRawBufferPointer) {
        unsafe output.raw(record)
    }
}

extension JSONWriter {
    /// Writes a record as a line of NDJSON: as text where it is UTF-8, else in base64. `log` is named where lines of
    /// several logs stand together.
    mutating func recordLine(
        log: [UInt8]? = nil, offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer
    ) {
        literal("{")
        if let log {
            literal(#""log":""#)
            raw(log)
            literal(#"","#)
        }
        literal(#""offset":"#)
        number(offset.rawValue)
        literal(#","timestamp":"#)
        time(timestamp)
        if unsafe UTF8Text.isValid(record) {
            literal(#","data":"#)
            unsafe string(record)
        } else {
            literal(#","data_base64":"#)
            unsafe base64(record)
        }
        literal("}\n")
    }
}

/// Takes one record.
final class SingleRecordSink: RecordSink {
    private(set) var timestamp: Timestamp?
    private(set) var bytes: [UInt8] = []

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        guard self.timestamp == nil else { return false }
        self.timestamp = timestamp
        unsafe bytes.append(contentsOf: record)
        // Nothing looks at the read's own `next` afterwards: the record behind need not even be fetched.
        return false
    }
}

/// Takes no record: the read stops in front of the first one.
final class RefusingSink: RecordSink {
    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool { false }
}
