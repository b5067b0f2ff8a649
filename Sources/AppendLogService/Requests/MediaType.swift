import LogStore

/// The media types that the service tells apart.
enum MediaType {
    static let lines: StaticString = "application/x-ndjson"
    static let framed: StaticString = "application/vnd.appendlog.records"
    static let bytes: StaticString = "application/octet-stream"
    static let json: StaticString = "application/json"
    static let events: StaticString = "text/event-stream"
    static let yaml: StaticString = "application/yaml"

    /// How the body of an append is cut into records, by its `Content-Type`: the type without its parameters, in any
    /// case. Any other type, and none, makes the whole body one record. Allocates nothing.
    static func encoding(ofContentType header: UnsafeRawBufferPointer?) -> RecordBody.Encoding {
        guard let header = unsafe header else { return .whole }
        if unsafe isType(header, lines) { return .lines }
        if unsafe isType(header, framed) { return .framed }
        return .whole
    }

    /// Whether a header value begins with this (lower-case) type, and only parameters follow.
    private static func isType(_ header: UnsafeRawBufferPointer, _ type: StaticString) -> Bool {
        let typeBytes = type.utf8CodeUnitCount
        guard header.count >= typeBytes else { return false }
        for index in 0..<typeBytes where unsafe lowercased(header[index]) != type.utf8Start[index] { return false }
        for index in typeBytes..<header.count {
            switch unsafe header[index] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"): continue
            case UInt8(ascii: ";"): return true
            default: return false
            }
        }
        return true
    }

    /// An ASCII letter in lower case; any other byte as it is.
    static func lowercased(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
