/// A query that does not say what it has to.
enum QueryError: Error, Equatable {
    /// A parameter that the route does not have, or an empty one. The name as it was sent.
    case unknown([UInt8])
    case repeated(StaticString)
    /// A percent sign without two hexadecimal digits behind it.
    case badEncoding(StaticString)
    /// Not a decimal number from `minimum` to `maximum`.
    case outOfRange(StaticString, minimum: UInt64, maximum: UInt64)
    /// Not empty and not the name of a log.
    case badName(StaticString)
    /// Not a place to read from.
    case badStart(StaticString)

    static func == (left: QueryError, right: QueryError) -> Bool {
        left.detail == right.detail
    }
}

/// The parameters of a query, each known, at most once there, percent-decoded.
struct Query {
    private var values: [(name: StaticString, value: [UInt8])] = []

    /// Takes the query apart; `names` are the parameters that the route has. Names are compared as they are sent, values
    /// are percent-decoded, and a plus sign is a plus sign.
    init(_ query: [UInt8], names: [StaticString]) throws(QueryError) {
        guard !query.isEmpty else { return }
        for pair in query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) {
            let nameEnd = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let sentName = pair[..<nameEnd]
            guard let name = names.first(where: { sentName.elementsEqual("\($0)".utf8) }) else {
                throw .unknown(Array(sentName))
            }
            guard value(of: name) == nil else { throw .repeated(name) }
            guard let value = Self.decoded(pair[nameEnd...].dropFirst()) else { throw .badEncoding(name) }
            values.append((name, value))
        }
    }

    /// The number of a parameter, `missing` if it is not there.
    func number(
        _ name: StaticString, from minimum: UInt64, through maximum: UInt64, missing: UInt64
    ) throws(QueryError) -> UInt64 {
        guard let value = value(of: name) else { return missing }
        guard let number = DecimalNumber.parse(value), number >= minimum, number <= maximum else {
            throw .outOfRange(name, minimum: minimum, maximum: maximum)
        }
        return number
    }

    /// The bytes of a parameter, nil if it is not there.
    func value(of name: StaticString) -> [UInt8]? {
        values.first { "\($0.name)" == "\(name)" }?.value
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if bytes[index] != UInt8(ascii: "%") {
                result.append(bytes[index])
                index += 1
                continue
            }
            guard index + 2 < bytes.endIndex, let high = hexDigit(bytes[index + 1]),
                let low = hexDigit(bytes[index + 2])
            else { return nil }
            result.append(high << 4 | low)
            index += 3
        }
        return result
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension QueryError {
    /// What is wrong and what would be right, in one sentence.
    var detail: String {
        switch self {
        case .unknown(let name):
            "There is no query parameter '\(String(decoding: name, as: UTF8.self))' here."
        case .repeated(let name):
            "The query parameter '\(name)' is there more than once."
        case .badEncoding(let name):
            "The query parameter '\(name)' has a percent sign that no two hexadecimal digits follow."
        case .outOfRange(let name, let minimum, let maximum):
            "The query parameter '\(name)' must be a decimal number from \(minimum) to \(maximum)."
        case .badName(let name):
            "The query parameter '\(name)' must be empty or the name of a log: 1 to 128 of A-Z a-z 0-9 . _ -, not "
                + "starting with a dot."
        case .badStart(let name):
            "The query parameter '\(name)' must be the offset of a record, first, now, -N for the last N records, or an "
                + "RFC 3339 time such as 2026-11-22T22:05:03.5Z."
        }
    }
}
