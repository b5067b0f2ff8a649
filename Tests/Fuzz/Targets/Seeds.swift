import Glibc

@testable import CommitLog
@testable import LogFormat
@testable import LogStore

/// The inputs that each target's corpus begins with: well-formed ones, written with the code under test.
enum Seeds {
    static func write(to directory: String) throws {
        for target in FuzzTarget.allCases {
            let folder = "\(directory)/\(target.rawValue)"
            mkdir(directory, 0o755)
            mkdir(folder, 0o755)
            for (index, input) in inputs(for: target).enumerated() {
                guard let file = fopen("\(folder)/seed-\(index)", "wb") else {
                    throw FileError(operation: "open", path: folder, code: errno)
                }
                fwrite(input, 1, input.count, file)
                fclose(file)
            }
        }
    }

    static func inputs(for target: FuzzTarget) -> [[UInt8]] {
        switch target {
        case .batch: batches
        case .segment: [[1, 0, 0], [0, 9, 1]].map { $0 + RecoveryTarget.header(at: .zero) }
        case .recovery: directories
        case .checkpoint: [[0, 7, 0, 0, 0] + checkpoint, [1, 1, 2, 0, 0] + checkpoint]
        case .index: [[1, 3, 1, 0, 0] + index, [0, 3, 1, 0, 0] + index]
        case .body: bodies
        case .target: targets.map { Array($0.utf8) }
        case .headers: headers.map { Array($0.utf8) }
        case .append: values.map { Array($0.utf8) }
        case .document: documents
        case .json: records.map { [UInt8](repeating: 7, count: 16) + $0 }
        }
    }

    // MARK: The format on disk

    private static func frame(
        _ kind: FrameKind, log: UInt64 = 1, first: UInt64 = 0, written: FieldWriter = FieldWriter(),
        fields: [(FieldKind, [UInt8])] = [], records: [[UInt8]] = []
    ) -> [UInt8] {
        var writer = written
        for (field, value) in fields { writer.append(field, value) }
        let payload = Array(records.joined())
        let lengths = records.flatMap { record in (0..<4).map { UInt8(truncatingIfNeeded: record.count >> (8 * $0)) } }
        let unpadded = FrameHeader.byteCount + writer.bytes.count + lengths.count + payload.count
        var bytes = [UInt8](repeating: 0, count: (unpadded + 7) / 8 * 8)
        bytes.store(UInt32(bytes.count), at: 0)
        bytes[8] = kind.rawValue
        bytes.store(UInt16(writer.bytes.count), at: 10)
        bytes.store(UInt32(records.count), at: 12)
        bytes.store(UInt64(kind == .epoch || kind == .seal ? 0 : log), at: 16)
        bytes.store(first, at: 24)
        bytes.store(UInt64(1_795_000_000_000_000), at: 32)
        bytes.store(UInt32(payload.count), at: 40)
        bytes.replaceSubrange(FrameHeader.byteCount..<unpadded, with: writer.bytes + lengths + payload)
        return bytes
    }

    private static func batch(_ frames: [[UInt8]]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: BatchHeader.byteCount) + frames.joined()
        bytes.replaceSubrange(0..<4, with: "BTCH".utf8)
        bytes.store(UInt32(bytes.count), at: 8)
        bytes.store(UInt32(frames.count), at: 12)
        bytes.store(UInt64(1), at: 16)
        bytes.store(RecoveryTarget.storeID.first, at: 32)
        bytes.store(RecoveryTarget.storeID.second, at: 40)
        bytes.store(UInt32(1), at: 48)
        bytes.store(UInt64(512), at: 56)
        _ = bytes.repairBatch(at: 0, limit: bytes.count)
        return bytes
    }

    private static let create = frame(.create, fields: [(.logName, Array("orders".utf8))])
    private static let append = frame(.append, records: [Array("hello".utf8), [], [0, 255, 10]])

    private static var batches: [[UInt8]] {
        let everyField = frame(.append, fields: FieldKind.allCases.map { ($0, [1, 2, 3]) }, records: [[9]])
        let whole =
            FrameKind.allCases.map { batch([frame($0)]) } + [batch([create, append]), batch([everyField]), lives]
        return whole.map { [0, 77, 1, 0, 0] + $0 } + whole.map { [1, 3, 0, 0, 0] + $0 }
            + [[2, 1, 0, 0, 0, 0, 0x21, 6, 3, 1, 2, 3, 5, 4, 3, 2, 1, 0], [2, 9, 0, 0, 0, 1, 0x43]]
    }

    /// Two segments that follow one another, the last batch of the second torn; and others.
    private static var directories: [[UInt8]] {
        let block = { (bytes: [UInt8]) in bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512) }
        let start = block(batch([frame(.epoch)])) + block(batch([create, append]))
        let more = block(batch([frame(.append, records: [[UInt8](repeating: 7, count: 600)])]))
        let torn = Array(more.prefix(300))
        let second = start + more + block(batch([frame(.seal)]))
        let length = [UInt8(truncatingIfNeeded: checkpoint.count), UInt8(checkpoint.count >> 8)]
        return [
            [3, 0, 0] + start, [3, 0, 0] + second, [3, 0, 0] + second + start, [1, 0, 0] + start + torn,
            [3, 0, 0] + block(batch([frame(.epoch)])) + block(lives),
            [3] + length + checkpoint + second + more, [7] + length + checkpoint + start, [0, 0, 0] + second,
            [3, 0, 0],
        ]
    }

    private static var checkpoint: [UInt8] {
        var table = LogTable()
        for (index, name) in ["orders", "a.b-c_9"].enumerated() {
            let slot = Array(name.utf8).withUnsafeBytes {
                table.add(
                    name: $0, id: LogID(rawValue: UInt64(index + 7)), created: Timestamp(rawValue: 5), isDurable: true)
            }
            table[slot].durableNext = RecordOffset(rawValue: 3)
            table[slot].first = RecordOffset(rawValue: UInt64(index))
            table[slot].isClosed = index == 1
            table[slot].settings = LogSettingsBox(
                LogSettings(contentType: index == 0 ? nil : [0x61], retention: Retention(bytes: 7)))
        }
        let anchor = ScanAnchor(segment: .zero, chain: .beginning)
        let payload = CheckpointTarget.payload(
            table, identities.producers, identities.keys, anchor: anchor, nextID: LogID(rawValue: 9),
            knownBelow: LogID(rawValue: 9), lastTimestamp: Timestamp(rawValue: 6))
        return Checkpoint(
            storeID: RecoveryTarget.storeID, anchor: anchor, through: BatchNumber(rawValue: 1), payload: payload
        ).encoded()
    }

    /// A producer with two requests, and a key.
    private static var identities: (producers: Producers, keys: IdempotencyKeys) {
        var producers = Producers(IdentityLimits())
        var keys = IdempotencyKeys(IdentityLimits())
        let log = LogID(rawValue: 7)
        let answer = RequestAnswer(
            FrameHeader(
                kind: .append, recordCount: 1, logID: log, firstOffset: .zero, timestamp: Timestamp(rawValue: 5),
                payloadBytes: 0))
        Array("p-1".utf8).withUnsafeBytes { bytes in
            for sequence in UInt64(0)...1 {
                producers.note(ProducerField(id: bytes, epoch: 3, sequence: sequence), in: log, answer, durable: .zero)
            }
            keys.note(bytes, in: log, BodyFingerprint(low: 1, high: 2), [answer])
            keys.note(bytes, in: .none, BodyFingerprint(low: 3, high: 4), [answer, answer])
        }
        return (producers, keys)
    }

    private static var index: [UInt8] {
        let entries = (0..<3).map { (number: Int) -> IndexEntry in
            let offset = RecordOffset(rawValue: UInt64(10 * number))
            let timestamp = Timestamp(rawValue: UInt64(20 * number))
            return IndexEntry(
                offset: offset, timestamp: timestamp, frame: UInt32(70_000 * number + 576), batchEnd: 70_000,
                payloadBytes: 9, frameBytes: 64)
        }
        return IndexFile.encode(
            storeID: IndexTarget.storeID, segment: .zero,
            runs: [
                (LogID(rawValue: 1), IndexRun(entries: entries[...], end: RecordOffset(rawValue: 25))),
                (LogID(rawValue: 9), IndexRun(entries: entries[1...], end: RecordOffset(rawValue: 25))),
            ]
        ).bytes
    }

    /// Two logs with settings; a producer, a key, a group with a key; a log that is closed, trimmed and deleted.
    private static var lives: [UInt8] {
        var settings = FieldWriter()
        settings.append(.logName, Array("a.b".utf8))
        LogSettings(contentType: [0x61], retention: Retention(records: 5), appendsPerSecondMax: 9).write(to: &settings)
        var configured = FieldWriter()
        LogSettings(retention: Retention(ageSeconds: 1, bytes: 2)).write(to: &configured)
        let fingerprint = (FieldKind.bodyFingerprint, [UInt8](repeating: 3, count: 16))
        var produced = FieldWriter()
        Array("p-1".utf8).withUnsafeBytes { ProducerField(id: $0, epoch: 3, sequence: 0).write(to: &produced) }
        let group = (0..<2).map { (index: UInt32) -> [(FieldKind, [UInt8])] in
            let place = [9, 0, 0, 0, 0, 0, 0, 0, UInt8(index), 0, 0, 0, 2, 0, 0, 0] as [UInt8]
            return [(.group, place)] + (index == 0 ? [(.idempotencyKey, Array("g".utf8)), fingerprint] : [])
        }
        let key: [(FieldKind, [UInt8])] = [(.idempotencyKey, Array("k".utf8)), fingerprint]
        return batch([
            create, frame(.create, log: 2, written: settings), frame(.configure, log: 2, written: configured),
            frame(.append, written: produced, records: [[1]]), frame(.append, first: 1, fields: key, records: [[2]]),
            frame(.append, first: 2, fields: group[0], records: [[3]]),
            frame(.append, log: 2, fields: group[1], records: [[4], [5]]), frame(.moved, records: [[1]]),
            frame(.trim, log: 2, first: 1),
            frame(.close, log: 2), frame(.delete, log: 2), frame(.create, log: 3, written: settings),
        ])
    }

    // MARK: Requests and answers

    private static var bodies: [[UInt8]] {
        let framed: [UInt8] = [3, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 1, 0, 0, 0, 9]
        let control: [[UInt8]] = (0..<3).map { [0x3C | $0, 255, 255] }
        return [
            control[0] + [1], control[1] + Array("one\r\n\ntwo\n\r\nthree".utf8), control[2] + framed,
            [2, 0, 0] + framed,
        ]
    }

    private static let targets = [
        "/v1/logs/orders/records?from=12&limit=10&bytes=4096", "/v1/logs/a.b-c_9/records/18446744073709551615",
        "/v1/logs?prefix=a%2Eb&after=z&limit=5", "http://host:80/v1/logs/x", "/v1/stats?", "/healthz", "/readyz?x",
        "/openapi.yaml", "/v1/logs/x/records?from=%31%32&limit=%", "/v1/logs/%00/records", "/v1/batch",
        "/v1/logs/x/records?from=-10&wait=30&log_id=7&stream=1", "/v1/logs/x/trim", "/v1/logs/x/close",
        "/v1/logs/x/records?from=2026-11-22T22:05:03.5%2B02:00&wait=0", "/v1/logs/x/records?from=now&bytes=1",
    ]

    private static let values = [
        "42\n7.42\n18446744073709551615\n18446744073709551616.0\n.\n", "\"7.12-5.n\"\nW/\"7.12-5.n\", \"other\"\n*",
        "2026-11-22T22:05:03.1234567+02:00\n2024-02-29t23:59:59z\n1969-12-31T23:59:59-23:59\n9999-12-31T23:59:59.9999999Z",
        "Idempotency-Key\nproducer-id\nPRODUCER-SEQ\nif-none-match", "producer-7\na b\n~",
    ]

    private static let documents: [[UInt8]] = [
        [0]
            + Array(
                #"{"appends":[{"log":"a","records":["x\u00e9\n",{"base64":"/wA="}],"if_match":"7.3"},{"log":"b","records":[""],"if_none_match":"*"}]}"#
                    .utf8),
        [0] + Array((#"{"appends":[{"log":"a","records":[""# + String(repeating: "a", count: 300) + #""]}]}"#).utf8),
        [0] + Array(#" {"appends" : [{"records":[{"base64":""}],"log":"a.b-c_9","if_match":null}]}"#.utf8),
        [1]
            + Array(
                #"{"content_type":"text/plain","retention":{"age_seconds":60,"bytes":1e3,"records":5},"appends_per_second_max":9.0}"#
                    .utf8),
        [2] + Array(#"{"retention":{"records":null},"appends_per_second_max":null}"#.utf8),
        [2] + Array(#"{"content_type":null,"retention":null}"#.utf8),
        [3] + Array(#"{"a":[1,-2.5,null,true,"x"]}"#.utf8),
        [3] + Array(#""text\t\"""#.utf8), [3] + Array("[[[[]]]]".utf8),
    ]

    private static let headers = [
        "Host: a\nContent-Length: 18446744073709551616\nTransfer-Encoding: chunked\nExpect: 100-continue",
        "application/x-ndjson; q=0.5, application/*;q=0.125, */*;q=0", "Application/VND.appendlog.Records ;v=1",
        "content-length: 5\nCONTENT-LENGTH: 6\n: x\nbad name: y", "application/octet-stream;q=1.000,text/html;q=1.1",
    ]

    private static var records: [[UInt8]] {
        [
            Array("hello \"\\\n\r\t\u{1}\u{7F}\u{2028}é😀".utf8), [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0, 1], [],
            Array("e\u{301}\r\nnext".utf8),
        ]
    }
}
