import Logging

@testable import AppendLogService
@testable import HTTPFrontEnd
@testable import LogFormat
@testable import LogStore

/// Input: eight bytes of offset, eight of time, and a record. What is written about it must be JSON that says it again.
enum JSONTarget {
    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let offset = RecordOffset(rawValue: reader.integer())
        let time = Timestamp(rawValue: reader.integer())
        let record = reader.remainder()
        checkLine(offset, time, record)
        let text = String(decoding: record, as: UTF8.self)
        checkProblem(text)
        checkLogLines(time, text)
    }

    private static func checkLine(_ offset: RecordOffset, _ time: Timestamp, _ record: [UInt8]) {
        var writer = JSONWriter()
        withExactMemory(record) { writer.recordLine(offset: offset, timestamp: time, record: $0) }
        require(writer.bytes.filter { $0 == 0x0A }.count == 1 && writer.bytes.last == 0x0A, "a record is not one line")
        guard let line = StrictJSON.value(of: writer.bytes.dropLast()), case .object(let members) = line else {
            preconditionFailure("a line of a page is no JSON object")
        }
        require(members.count == 3 && members["offset"] == .number("\(offset)"), "a line has other members")
        if let text = String(validating: record, as: UTF8.self) {
            // Compared by bytes: two strings are equal that normalise to the same.
            guard case .string(let data)? = members["data"] else { preconditionFailure("text is not given as text") }
            require(data.utf8.elementsEqual(text.utf8), "a record is altered")
        } else {
            guard case .string(let data)? = members["data_base64"] else { preconditionFailure("bytes are not base64") }
            require(bytes(ofBase64: Array(data.utf8)) == record, "a record is altered")
        }
    }

    private static func checkProblem(_ text: String) {
        let problem = Problem(status: 400, code: "x", title: "X", detail: text)
        guard case .string(let detail)? = StrictJSON.value(of: problem.json())?["detail"] else {
            preconditionFailure("a problem is no JSON")
        }
        require(detail.utf8.elementsEqual(text.utf8), "the detail of a problem is altered")
    }

    private static func checkLogLines(_ time: Timestamp, _ text: String) {
        let fields: Logger.Metadata = ["error": "\(text)"]
        for format in LogLineFormat.allCases {
            let line = LineLogHandler.line(format, time, .error, text, fields)
            require(line.filter { $0 == 0x0A || $0 == 0x0D }.count == 1, "a log event is not one line")
            if format == .json {
                guard case .string(let value)? = StrictJSON.value(of: line.dropLast())?["error"] else {
                    preconditionFailure("a log line is no JSON")
                }
                require(value.utf8.elementsEqual(text.utf8), "a log line alters a value")
            }
        }
    }

    /// Decodes base64 with its padding; nil for anything else.
    private static func bytes(ofBase64 text: [UInt8]) -> [UInt8]? {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        guard text.count % 4 == 0 else { return nil }
        var result: [UInt8] = []
        for start in stride(from: 0, to: text.count, by: 4) {
            let group = text[start..<start + 4]
            let padding = group.reversed().prefix { $0 == UInt8(ascii: "=") }.count
            guard padding <= 2, padding == 0 || start + 4 == text.count else { return nil }
            var number: UInt32 = 0
            for byte in group.dropLast(padding) {
                guard let digit = digits.firstIndex(of: byte) else { return nil }
                number = number << 6 | UInt32(digit)
            }
            number <<= 6 * UInt32(padding)
            let three = [UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)]
            result.append(contentsOf: three.dropLast(padding))
        }
        return result
    }
}
