import CommitLog
import LogFormat

/// What a request was answered with, to be given again.
struct RequestAnswer: Equatable {
    /// The batch that makes it true; 0 if it was durable when the process began.
    let batch: BatchNumber
    let first: RecordOffset
    let count: UInt32
    let timestamp: Timestamp

    init(_ ticket: AppendTicket) {
        batch = ticket.batch
        first = ticket.first
        count = UInt32(ticket.count)
        timestamp = ticket.timestamp
    }

    /// That of a frame that a start has found.
    init(_ header: FrameHeader) {
        batch = .zero
        first = header.firstOffset
        count = header.recordCount
        timestamp = header.timestamp
    }

    var ticket: AppendTicket {
        AppendTicket(batch: batch, first: first, count: Int(count), timestamp: timestamp)
    }
}

// In a checkpoint: u64 first offset, u64 timestamp, u32 count.
extension RequestAnswer {
    init(from reader: inout ByteReader) throws(FormatError) {
        batch = .zero
        first = RecordOffset(rawValue: try reader.read())
        timestamp = Timestamp(rawValue: try reader.read())
        count = try reader.read()
        guard !first.rawValue.addingReportingOverflow(UInt64(count)).overflow else { throw .badField }
    }

    func write(to writer: inout ByteWriter) {
        writer.append(first.rawValue)
        writer.append(timestamp.rawValue)
        writer.append(count)
    }
}

/// What is known of the identity of a request.
enum IdentityVerdict {
    case new
    case repeated(RequestAnswer)
    case refused(AppendRefusal)
}
