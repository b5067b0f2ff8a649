import LogFormat
import LogStore

/// Where a page of records begins.
enum PageStart: Equatable {
    case offset(RecordOffset)
    /// The first record that is kept.
    case first
    /// Behind the last durable record.
    case now
    /// So many records before that, or the first one that is kept.
    case last(UInt64)
    /// The first record that is not older.
    case time(Timestamp)

    /// Takes the value of `from`.
    init(_ text: [UInt8]) throws(QueryError) {
        if text.elementsEqual("first".utf8) {
            self = .first
        } else if text.elementsEqual("now".utf8) {
            self = .now
        } else if text.first == UInt8(ascii: "-"), let count = DecimalNumber.parse(text.dropFirst()), count > 0 {
            self = .last(count)
        } else if let number = DecimalNumber.parse(text) {
            self = .offset(RecordOffset(rawValue: number))
        } else if let time = RFC3339.parse(text) {
            self = .time(time)
        } else {
            throw .badStart("from")
        }
    }
}

/// Which records a page holds: the query of `GET /v1/logs/{log}/records`.
struct RecordPageQuery: Equatable {
    let from: PageStart
    /// Records, at most.
    let limit: Int
    /// Bytes of records, at most; but one record always.
    let bytes: Int
    /// Seconds that an empty page may wait for a record.
    let waitSeconds: Int
    /// Whether all records up to the tail are wanted, in one answer of unknown length; the other limits do not count then.
    let isStreamed: Bool
    /// The id that the log must have; nil if any will do.
    let logID: LogID?
    /// The parameters that the page after this one has too, beside `from`, as they are sent.
    let kept: String

    init(_ query: [UInt8]) throws(QueryError) {
        let query = try Query(query, names: ["from", "limit", "bytes", "wait", "log_id", "stream"])
        if let text = query.value(of: "from") { from = try PageStart(text) } else { from = .first }
        limit = Int(
            try query.number(
                "limit", from: 1, through: ServiceLimits.pageRecordsMax, missing: ServiceLimits.pageRecordsDefault))
        bytes = Int(
            try query.number(
                "bytes", from: 1, through: ServiceLimits.pageBytesMax, missing: ServiceLimits.pageBytesDefault))
        waitSeconds = Int(try query.number("wait", from: 0, through: ServiceLimits.waitSecondsMax, missing: 0))
        isStreamed = try query.number("stream", from: 0, through: 1, missing: 0) == 1
        let id = try query.number("log_id", from: 1, through: .max, missing: 0)
        logID = id == 0 ? nil : LogID(rawValue: id)
        var kept = ""
        let numbers: [(name: StaticString, value: UInt64)] = [
            ("limit", UInt64(limit)), ("bytes", UInt64(bytes)), ("wait", UInt64(waitSeconds)), ("log_id", id),
        ]
        for (name, value) in numbers where query.value(of: name) != nil { kept += "&\(name)=\(value)" }
        self.kept = kept
    }
}

/// Which logs a page lists: the query of `GET /v1/logs` and `GET /v1/stats`.
struct LogPageQuery: Equatable {
    let prefix: [UInt8]
    /// Only names behind this one; nil from the first.
    let after: [UInt8]?
    /// Logs, at most.
    let limit: Int

    init(_ query: [UInt8], limitMax: UInt64) throws(QueryError) {
        let query = try Query(query, names: ["prefix", "after", "limit"])
        prefix = try Self.name("prefix", in: query) ?? []
        after = try Self.name("after", in: query)
        limit = Int(try query.number("limit", from: 1, through: limitMax, missing: ServiceLimits.logPageDefault))
    }

    /// The name in a parameter; nil if it is missing or empty.
    private static func name(_ parameter: StaticString, in query: Query) throws(QueryError) -> [UInt8]? {
        guard let value = query.value(of: parameter), !value.isEmpty else { return nil }
        guard unsafe value.withUnsafeBytes({ unsafe LogName.isValid($0) }) else { throw .badName(parameter) }
        return value
    }
}
