import HTTPFrontEnd
import LogFormat
import LogStore

/// All records of a read in one answer, a piece at a time and only as fast as the client reads.
///
/// A piece is what one read from the disk brought. The next read is under way while the kernel copies it to the socket.
final class RecordStream: StreamSource {
    private let read: RangeRead
    private let form: PageForm
    private unowned let tails: LiveTails
    private var sink: PieceSink
    private var stream: ResponseStream?
    private var isWaiting = false
    private var last: StreamNext?
    /// Said once, when a record is not there as it was written.
    private let failed: () -> Void

    init(_ read: RangeRead, _ form: PageForm, _ tails: LiveTails, failed: @escaping () -> Void) {
        self.read = read
        self.form = form
        self.tails = tails
        self.failed = failed
        sink = PieceSink(form)
        super.init()
        tails.recordStreamCount += 1
    }

    override func next(_ stream: ResponseStream) -> StreamNext {
        self.stream = stream
        while true {
            if isWaiting { return .later }
            if let last { return last }
            switch tails.store.step(read, into: sink) {
            case .waiting:
                isWaiting = true
                tails.wait(for: read, .records(self))
                if let piece = takePiece() { return .piece(piece) }
            case .paused:
                if let piece = takePiece() { return .piece(piece) }
                stream.wake()
                return .later
            case .finished:
                // The sink is never the one to end a read, unless its piece is full.
                if !sink.isFull { last = .end }
                if let piece = takePiece() { return .piece(piece) }
            case .damaged, .failed, .lost, .trimmed, .gone:
                // What comes behind cannot be told from what is missing: the answer is not whole.
                failed()
                last = .abort
                if let piece = takePiece() { return .piece(piece) }
            }
        }
    }

    func readEnded() {
        isWaiting = false
        stream?.wake()
    }

    override func ended(_ stream: ResponseStream, _ ending: StreamEnding) {
        if isWaiting { tails.cancel(read) }
        tails.recordStreamCount -= 1
        self.stream = nil
    }

    private func takePiece() -> SharedBytes? {
        guard let piece = sink.finish() else { return nil }
        sink = PieceSink(form)
        return piece
    }
}

/// Encodes records into a piece that goes to the socket without a further copy.
private final class PieceSink: RecordSink {
    private let form: PageForm
    private var piece: SharedBytes?
    private var lines = JSONWriter()
    private(set) var isFull = false

    init(_ form: PageForm) {
        self.form = form
    }

    override func take(offset: RecordOffset, timestamp: Timestamp, record: UnsafeRawBufferPointer) -> Bool {
        let piece = self.piece ?? SharedBytes(capacity: ServiceLimits.recordPieceBytes)
        self.piece = piece
        // One record always has room.
        if piece.count + lines.bytes.count > 0 && piece.freeBytes - lines.bytes.count < record.count + 4 {
            isFull = true
            return false
        }
        switch form {
        case .lines: unsafe lines.recordLine(offset: offset, timestamp: timestamp, record: record)
        case .framed:
            unsafe withUnsafeBytes(of: UInt32(record.count).littleEndian) { unsafe piece.append($0) }
            unsafe piece.append(record)
        case .raw: unsafe piece.append(record)
        }
        return true
    }

    /// The piece; nil if it has nothing.
    func finish() -> SharedBytes? {
        guard let piece else { return nil }
        if !lines.bytes.isEmpty { unsafe lines.bytes.withUnsafeBytes { unsafe piece.append($0) } }
        return piece.count > 0 ? piece : nil
    }
}

extension Service {
    /// Answers with all records from where the read stands to the tail that it began with, in a body of unknown length.
    func beginRecordStream(_ exchange: Exchange, _ reading: RecordReading, _ form: PageForm) -> Step {
        guard live.recordStreamCount < ServiceLimits.recordStreamsMax else {
            return answer(exchange, .overloadedByReads)
        }
        let read = reading.read
        var head = HTTPResponse(status: 200)
        head.addCommonHeaders(contentType: form.mediaType)
        head.addHeader("Vary", "Accept")
        head.addHeader("First-Offset", read.next.rawValue)
        head.addHeader("Tail-Offset", max(read.tail, read.next).rawValue)
        let source = RecordStream(read, form, live) { [logger] in
            logger.error("a stream of records was broken off: the next one cannot be read")
        }
        if exchange.stream(head, from: source) == nil { live.recordStreamCount -= 1 }
        return .streaming
    }
}
