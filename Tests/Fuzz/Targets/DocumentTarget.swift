@testable import AppendLogService
@testable import LogFormat
@testable import LogStore

/// Input: a control byte and a JSON body. Control, bits 0 and 1: a batch, the settings of a new log, a patch of settings, or any
/// text, which is compared with a reader of JSON that was written apart.
enum DocumentTarget {
    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let control = reader.byte()
        let text = reader.remainder()
        switch control & 3 {
        case 0: checkBatch(text)
        case 1: checkSettings(text)
        case 2: checkPatch(text)
        default: checkText(text)
        }
    }

    /// What a body says; nil if it is refused, for a reason that is given.
    private static func parsed<Value>(
        _ text: [UInt8], _ read: (JSONValue) throws(InvalidBody) -> Value
    ) -> Value? {
        withExactMemory(text) { memory in
            do throws(InvalidBody) { return try JSONParser().parse(memory, read) } catch {
                require(!error.detail.isEmpty, "a body is refused without a reason")
                return nil
            }
        }
    }

    // MARK: Batches

    private static func checkBatch(_ text: [UInt8]) {
        guard let batch = parsed(text, BatchDocument.init) else { return }
        require((1...ServiceLimits.appendsPerBatchMax).contains(batch.appends.count), "a batch of a wrong size")
        var end = 0
        for append in batch.appends {
            require(append.records.lowerBound == end, "the records of two appends overlap, or leave a gap")
            end = append.records.upperBound
            require(withExactMemory(append.name, LogName.isValid), "a batch names a log that cannot be")
            let records = Array(batch.framed[append.records])
            let body = withExactMemory(records) {
                try? RecordBody($0, encoding: .framed, recordBytesMax: .max, recordCountMax: .max).recordCount
            }
            require(body == append.recordCount && append.recordCount > 0, "records are cut otherwise than counted")
        }
        require(end == batch.framed.count, "there are records of no append")
        guard let again = parsed(written(batch), BatchDocument.init) else {
            preconditionFailure("a batch written again is refused")
        }
        require(
            again.framed == batch.framed && written(again) == written(batch), "a batch written again is read otherwise")
    }

    /// The batch as JSON, all records in base64.
    private static func written(_ batch: BatchDocument) -> [UInt8] {
        var json = JSONWriter()
        json.literal(#"{"appends":["#)
        for (index, append) in batch.appends.enumerated() {
            json.literal(index == 0 ? #"{"log":""# : #",{"log":""#)
            json.raw(append.name[...])
            json.literal("\"")
            switch append.condition {
            case .none: break
            case .absent: json.literal(#","if_none_match":"*""#)
            case .next(let next, let log):
                json.literal(#","if_match":""#)
                if let log {
                    json.number(log.rawValue)
                    json.literal(".")
                }
                json.number(next.rawValue)
                json.literal("\"")
            }
            json.literal(#","records":["#)
            var records = InputReader(Array(batch.framed[append.records]))
            for number in 0..<append.recordCount {
                json.literal(number == 0 ? #"{"base64":""# : #",{"base64":""#)
                let count = records.integer(UInt32.self)
                json.raw(base64(records.bytes(Int(count)))[...])
                json.literal("\"}")
            }
            json.literal("]}")
        }
        json.literal("]}")
        return json.bytes
    }

    /// Padded base64, written apart from the code under test.
    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                text.append(place <= group.count ? digits[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
            }
        }
        return text
    }

    // MARK: Settings

    private static func checkSettings(_ text: [UInt8]) {
        guard let settings = parsed(text, { value throws(InvalidBody) in try LogSettings(value) }) else { return }
        checkRanges(settings)
        let again = parsed(written(settings)) { value throws(InvalidBody) in try LogSettings(value) }
        require(again == settings, "settings written again are read otherwise")
        // What is on the disk is read again as it was.
        var fields = FieldWriter()
        settings.write(to: &fields)
        let restored = fields.bytes.withUnsafeBytes { try? LogSettings(FieldReader(checking: $0)) }
        require(restored == settings, "settings are stored otherwise")
    }

    /// A patch that is merged twice changes nothing more, and what it does not name stays.
    private static func checkPatch(_ text: [UInt8]) {
        let base = LogSettings(
            contentType: Array("text/plain".utf8), retention: Retention(ageSeconds: 60, bytes: nil, records: 7),
            appendsPerSecondMax: 5)
        let merge = { (base: LogSettings) in
            parsed(text) { value throws(InvalidBody) in
                var settings = base
                try settings.merge(value)
                return settings
            }
        }
        let empty = merge(LogSettings())
        guard let once = merge(base) else {
            require(empty == nil, "a patch is refused for what was set before")
            return
        }
        checkRanges(once)
        require(merge(once) == once, "a patch that is merged twice changes more")
        let names = StrictJSON.value(of: trimmed(text))
        let unset = { (name: String) in names?[name] == .literal("null") }
        require(!unset("content_type") || once.contentType == nil, "null does not unset the media type")
        require(!unset("retention") || once.retention == Retention(), "null does not unset the retention")
        require(!unset("appends_per_second_max") || once.appendsPerSecondMax == nil, "null does not unset the rate")
        guard let empty else { preconditionFailure("a patch is refused where nothing is set") }
        for path: KeyPath<LogSettings, UInt64?> in [
            \.retention.ageSeconds, \.retention.bytes, \.retention.records, \.appendsPerSecondMax,
        ] {
            let value = once[keyPath: path]
            require(
                value == empty[keyPath: path] || value == base[keyPath: path], "a patch sets what nobody asked for")
        }
    }

    private static func checkRanges(_ settings: LogSettings) {
        let retention = settings.retention
        require(retention.ageSeconds.map { (1...ServiceLimits.retentionSecondsMax).contains($0) } ?? true, "age")
        for amount in [retention.bytes, retention.records] {
            require(amount.map { (1...ServiceLimits.retentionAmountMax).contains($0) } ?? true, "an amount")
        }
        let rate = settings.appendsPerSecondMax
        require(rate.map { (1...ServiceLimits.appendsPerSecondMaxMax).contains($0) } ?? true, "a rate")
        require((1...255).contains(settings.contentType?.count ?? 1), "a media type of a wrong size")
    }

    private static func written(_ settings: LogSettings) -> [UInt8] {
        var json = JSONWriter()
        json.settings(settings)
        // Each member has a comma before it.
        return Array("{".utf8) + json.bytes.dropFirst() + Array("}".utf8)
    }

    // MARK: Any text

    /// What both readers take, they read alike. The other one knows no white space between values, and not all escapes.
    private static func checkText(_ text: [UInt8]) {
        // That reader goes as deep as the text does.
        let depth = text.count { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") }
        let expected = depth < 500 ? StrictJSON.value(of: trimmed(text)) : nil
        let found = parsed(text) { value throws(InvalidBody) in
            Seen(
                isObject: value.isObject, isArray: value.isArray, isNull: value.isNull, text: string(value),
                count: count(value))
        }
        require(found.map { $0.count.bytes <= text.count } ?? true, "there is more in a text than it has")
        guard let expected, let found else { return }
        switch expected {
        case .object(let members):
            require(found.isObject && found.count.elements == members.count, "an object is read otherwise")
        case .array(let values):
            require(found.isArray && found.count.elements == values.count, "an array is read otherwise")
        case .string(let text): require(found.text == Array(text.utf8), "a string is read otherwise")
        case .literal(let word): require(found.isNull == (word == "null"), "a word is read otherwise")
        case .number: require(!found.isObject && !found.isArray && !found.isNull && found.text == nil, "a number")
        }
    }

    private struct Seen {
        let isObject: Bool
        let isArray: Bool
        let isNull: Bool
        let text: [UInt8]?
        let count: (elements: Int, bytes: Int)
    }

    private static func string(_ value: JSONValue) -> [UInt8]? { value.string.map { Array($0) } }

    /// How many there are, and the bytes of their names and texts.
    private static func count(_ value: JSONValue) -> (elements: Int, bytes: Int) {
        var elements = value.elements
        var count = (elements: 0, bytes: 0)
        while let element = elements.next() {
            count.elements += 1
            count.bytes += element.name.count { $0 != 0 }
            count.bytes +=
                element.value.string?.count { $0 != 0 } ?? Int(truncatingIfNeeded: element.value.unsigned ?? 0) & 1
        }
        return count
    }

    private static func trimmed(_ text: [UInt8]) -> ArraySlice<UInt8> {
        let isSpace = { (byte: UInt8) in [0x20, 0x09, 0x0A, 0x0D].contains(byte) }
        var rest = text[...].drop(while: isSpace)
        while let last = rest.last, isSpace(last) { rest.removeLast() }
        return rest
    }
}
