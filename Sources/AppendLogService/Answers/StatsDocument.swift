import CommitLog
import LogFormat
import LogStore

/// What `GET /v1/stats` tells, gathered at one moment.
struct StatsDocument {
    var uptimeMicroseconds: UInt64
    var isReady: Bool
    var engine: EngineReport
    var totals: (logs: Int, records: UInt64, bytes: UInt64)
    var wal: WriteAheadLogStats
    var requests: RequestStats
    var page: (logs: [LogSummary], nextAfter: [UInt8]?)

    func write(to json: inout JSONWriter) {
        json.literal(#"{"version":"#)
        json.string(Version.current)
        json.literal(#","uptime_seconds":"#)
        json.quotient(uptimeMicroseconds, by: 1_000_000)
        json.literal(#","ready":"#)
        json.boolean(isReady)
        json.literal(#","engine":{"name":"#)
        json.string(engine.kind.rawValue)
        json.literal(#","mode":"#)
        json.string(engine.mode.rawValue)
        json.literal(#","reason":"#)
        json.string(engine.reason)
        json.literal("},")
        writeTotals(to: &json)
        json.literal(#","wal":"#)
        wal.write(to: &json)
        json.literal(#","requests":"#)
        requests.write(to: &json)
        json.literal(",")
        json.logPage(page)
        json.literal("}")
    }

    private func writeTotals(to json: inout JSONWriter) {
        json.literal(#""totals":{"#)
        json.member("logs", totals.logs)
        json.literal(",")
        json.member("records", totals.records)
        json.literal(",")
        json.member("bytes", totals.bytes)
        json.literal(",")
        // Nothing that is not durable is shown: the sum of the next offsets is the sum of the durable ones.
        json.member("next", totals.records)
        json.literal(",")
        json.member("durable", totals.records)
        json.literal("}")
    }
}

/// The numbers of requests under way in `/v1/stats`. No request is counted twice.
struct RequestStats {
    /// Appends, batches and changes of logs that wait for their commit.
    var waiting: (count: Int, oldestMicroseconds: UInt64)
    /// Reads that wait for the disk or for their turn.
    var readCount: Int
    var longPollCount: Int
    var subscriberCount: Int
    var recordStreamCount: Int
    var connectionCount: Int

    func write(to json: inout JSONWriter) {
        json.literal("{")
        json.member("waiting", waiting.count)
        json.literal(",")
        json.member("oldest_waiting_microseconds", waiting.oldestMicroseconds)
        json.literal(",")
        json.member("reads", readCount)
        json.literal(",")
        json.member("long_polls", longPollCount)
        json.literal(",")
        json.member("subscribers", subscriberCount)
        json.literal(",")
        json.member("record_streams", recordStreamCount)
        json.literal(",")
        json.member("connections", connectionCount)
        json.literal("}")
    }
}

/// The numbers of the write-ahead log in `/v1/stats`.
struct WriteAheadLogStats {
    var durablePosition: Position
    var nextPosition: Position
    var staged: Counters.Amount
    var inFlight: Counters.Amount
    var counters: Counters
    var segmentCount: Int
    var segmentBytes: Int
    var diskBytes: Int
    /// Segments that were packed, and bytes of the frames that were copied for that.
    var packed: (segments: UInt64, bytes: UInt64)
    var isPoisoned: Bool

    init(_ store: LogStore) {
        let wal = store.wal
        packed = store.packed
        durablePosition = wal.durable.position
        nextPosition = wal.nextPosition
        (staged, inFlight) = wal.pending
        counters = wal.counters
        segmentCount = wal.segments.count
        segmentBytes = wal.configuration.segmentBytes
        diskBytes = wal.diskBytes
        isPoisoned = wal.poisonCause != nil
    }

    func write(to json: inout JSONWriter) {
        json.literal("{")
        writePending(to: &json)
        json.literal(",")
        writeBatches(to: &json)
        json.literal(#","sync_latency_microseconds":{"#)
        json.member("p50", counters.syncLatency.valueAtPercentile(50))
        json.literal(",")
        json.member("p99", counters.syncLatency.valueAtPercentile(99))
        json.literal(",")
        json.member("max", counters.syncLatency.max)
        json.literal(",")
        json.member("count", counters.syncLatency.totalCount)
        json.literal("},")
        json.member("segments", segmentCount)
        json.literal(",")
        json.member("segment_bytes", segmentBytes)
        json.literal(",")
        json.member("disk_bytes", diskBytes)
        json.literal(",")
        json.member("packed_segments", packed.segments)
        json.literal(",")
        json.member("packed_bytes", packed.bytes)
        json.literal(#","poisoned":"#)
        json.boolean(isPoisoned)
        json.literal("}")
    }

    private func writePending(to json: inout JSONWriter) {
        json.member("durable_position", durablePosition.rawValue)
        json.literal(",")
        json.member("next_position", nextPosition.rawValue)
        json.literal(",")
        json.member("pending_records", staged.records + inFlight.records)
        json.literal(",")
        json.member("pending_bytes", staged.bytes + inFlight.bytes)
        json.literal(",")
        json.member("staged_bytes", staged.bytes)
        json.literal(",")
        json.member("in_flight_bytes", inFlight.bytes)
    }

    private func writeBatches(to json: inout JSONWriter) {
        json.member("batches", counters.batches)
        json.literal(",")
        json.member("records", counters.records)
        json.literal(",")
        json.member("bytes", counters.bytes)
        json.literal(",")
        json.member("record_bytes", counters.recordBytes)
        json.literal(#","batch_bytes_mean":"#)
        json.quotient(counters.bytes, by: counters.batches)
        json.literal(#","batch_records_mean":"#)
        json.quotient(counters.records, by: counters.batches)
        json.literal(",")
        json.member("batch_bytes_last", counters.lastBatchBytes)
        json.literal(",")
        json.member("batch_records_last", counters.lastBatchRecords)
    }
}

extension JSONWriter {
    /// Writes a member with a number. The name needs no escape.
    mutating func member(_ name: StaticString, _ value: UInt64) {
        literal("\"")
        literal(name)
        literal("\":")
        number(value)
    }

    /// Writes a member with a count.
    mutating func member(_ name: StaticString, _ value: Int) {
        member(name, UInt64(value))
    }
}
