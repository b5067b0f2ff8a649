import LogFormat
import LogStore

/// The body of `POST /v1/batch`, taken out of its JSON.
///
///     {"appends": [{"log": "a", "records": ["text", {"base64": "AA=="}], "if_match": "3"}]}
final class BatchDocument {
    /// One append: the log's name, its condition, and where its records lie in `framed`.
    struct Append {
        let name: [UInt8]
        let condition: AppendCondition
        let records: Range<Int>
        let recordCount: Int
    }

    private(set) var appends: [Append] = []
    /// The records of all appends in the framed form: u32 length, bytes.
    private(set) var framed: [UInt8] = []

    init(_ root: JSONValue) throws(InvalidBody) {
        let members = try JSONMembers(root, of: "The body", names: ["appends"])
        guard let list = members["appends"], list.isArray else {
            throw InvalidBody("'appends' of the body must be an array.")
        }
        var elements = list.elements
        while let element = elements.next() {
            guard appends.count < ServiceLimits.appendsPerBatchMax else {
                throw InvalidBody("A batch has at most \(ServiceLimits.appendsPerBatchMax) appends.")
            }
            do throws(InvalidBody) {
                appends.append(try append(element.value))
            } catch {
                throw InvalidBody(error.detail, index: appends.count)
            }
        }
        guard !appends.isEmpty else { throw InvalidBody("A batch has at least one append.") }
    }

    private func append(_ value: JSONValue) throws(InvalidBody) -> Append {
        let names: [StaticString] = ["log", "records", "if_match", "if_none_match"]
        let members = try JSONMembers(value, of: "An append", names: names)
        guard let name = unsafe try members.string("log"), unsafe LogName.isValid(name) else {
            throw InvalidBody("'log' of an append must be the name of a log: \(LogName.rule).")
        }
        let condition = try condition(members)
        guard let list = members["records"], list.isArray else {
            throw InvalidBody("'records' of an append must be an array.")
        }
        let start = framed.count
        var count = 0
        var elements = list.elements
        while let element = elements.next() {
            try add(element.value, number: count)
            count += 1
        }
        guard count > 0 else { throw InvalidBody("'records' of an append must have at least one record.") }
        return Append(name: unsafe Array(name), condition: condition, records: start..<framed.count, recordCount: count)
    }

    private func condition(_ members: JSONMembers) throws(InvalidBody) -> AppendCondition {
        let next = unsafe try members.string("if_match")
        let absent = unsafe try members.string("if_none_match")
        guard !members.isNull("if_match"), !members.isNull("if_none_match") else {
            throw InvalidBody("'if_match' and 'if_none_match' of an append are strings or not there.")
        }
        guard unsafe next == nil || absent == nil else {
            throw InvalidBody("An append has 'if_match' or 'if_none_match', not both.")
        }
        if let absent = unsafe absent {
            guard unsafe absent.elementsEqual("*".utf8) else {
                throw InvalidBody("'if_none_match' of an append must be \"*\".")
            }
            return .absent
        }
        guard let next = unsafe next else { return .none }
        guard let condition = unsafe AppendCondition(tag: next) else {
            throw InvalidBody("'if_match' of an append must be the next offset, or log id, dot and next offset.")
        }
        return condition
    }

    /// Adds a record behind its length.
    private func add(_ record: JSONValue, number: Int) throws(InvalidBody) {
        let place = framed.count
        framed.append(contentsOf: [0, 0, 0, 0])
        if let text = unsafe record.string {
            unsafe framed.append(contentsOf: text)
        } else {
            let members = try record.isObject ? JSONMembers(record, of: "A record", names: ["base64"]) : nil
            guard let text = unsafe try members?.string("base64"), unsafe Base64.appendDecoded(text, to: &framed) else {
                throw InvalidBody(
                    "Record \(number) of an append, counted from 0, must be a string, or {\"base64\": …} with padded base64."
                )
            }
        }
        let length = UInt32(framed.count - place - 4)
        for byte in 0..<4 { framed[place + byte] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(byte))) }
    }
}
