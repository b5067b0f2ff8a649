import LogFormat
import LogStore

/// Which records a page holds: the query of `GET /v1/logs/{log}/records`.
struct RecordPageQuery: Equatable {
    let from: RecordOffset
    /// Records, at most.
    let limit: Int
    /// Bytes of records, at most; but one record always.
    let bytes: Int
    /// Seconds to wait for the first record.
    let waitSeconds: UInt64

    init(_ query: [UInt8]) throws(QueryError) {
        let query = try Query(query, names: ["from", "limit", "bytes", "wait"])
        from = RecordOffset(rawValue: try query.number("from", from: 0, through: .max, missing: 0))
        waitSeconds = try query.number("wait", from: 0, through: 60, missing: 0)
        limit = Int(
            try query.number(
                "limit", from: 1, through: ServiceLimits.pageRecordsMax, missing: ServiceLimits.pageRecordsDefault))
        bytes = Int(
            try query.number(
                "bytes", from: 1, through: ServiceLimits.pageBytesMax, missing: ServiceLimits.pageBytesDefault))
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
