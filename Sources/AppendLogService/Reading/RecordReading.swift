import LogFormat
import LogStore

/// A read of records that is under way for an exchange.
final class RecordReading {
    /// What the answer will be.
    enum Answer {
        case page(PageSink, PageForm, RecordPageQuery)
        case record(SingleRecordSink, offset: RecordOffset)
        /// All records from the one on at which the read stops.
        case stream(RefusingSink, PageForm)
        /// Events from the record on at which the read stops.
        case liveTail(RefusingSink)
    }

    let read: RangeRead
    let answer: Answer
    /// The log when the read began.
    let logID: LogID
    /// Bytes of memory that it may need, about.
    let byteCount: Int

    init(_ read: RangeRead, of logID: LogID, _ answer: Answer, byteCount: Int) {
        self.read = read
        self.logID = logID
        self.answer = answer
        self.byteCount = byteCount
    }

    var sink: RecordSink {
        switch answer {
        case .page(let sink, _, _): sink
        case .record(let sink, _): sink
        case .stream(let sink, _): sink
        case .liveTail(let sink): sink
        }
    }
}

extension PageStart {
    /// As the store knows it.
    var readStart: ReadStart {
        switch self {
        case .offset(let offset): .offset(offset)
        case .first: .first
        case .now: .tail
        case .last(let count): .last(count)
        case .time(let time): .time(time)
        }
    }

    /// Whether the same text means another record when the log has grown.
    var isRelative: Bool {
        switch self {
        case .offset, .first: false
        case .now, .last, .time: true
        }
    }
}

extension ReadStart {
    /// Whether the record has to be looked for.
    var isTime: Bool {
        if case .time = self { true } else { false }
    }
}
