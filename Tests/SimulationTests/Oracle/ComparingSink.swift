import Glibc
import LogFormat

@testable import LogStore

/// Compares the records of a read with those that may be there.
final class ComparingSink: RecordSink {
    /// The index is the offset.
    private let expected: [SentRecord]
    private(set) var next: Int
    private(set) var failure: String?

    init(_ expected: [SentRecord], from first: Int) {
        self.expected = expected
        next = first
    }

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        guard failure == nil else { return false }
        failure = difference(offset, timestamp, record)
        next += 1
        return failure == nil
    }

    private func difference(_ offset: RecordOffset, _ timestamp: Timestamp, _ record: UnsafeRawBufferPointer) -> String?
    {
        if offset.rawValue != UInt64(next) { return "offset \(offset) comes where \(next) is next" }
        guard next < expected.count else { return "the record at \(offset) was never sent" }
        let sent = expected[next]
        if sent.timestamp != timestamp { return "the record at \(offset) has another timestamp" }
        let isEqual =
            record.count == sent.bytes.count
            && (record.count == 0 || memcmp(record.baseAddress!, sent.bytes, record.count) == 0)
        return isEqual ? nil : "the record at \(offset) is not the one that was sent"
    }
}
