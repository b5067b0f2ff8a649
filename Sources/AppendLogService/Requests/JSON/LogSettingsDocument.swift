import LogStore

extension LogSettings {
    private static let names: [StaticString] = ["content_type", "retention", "appends_per_second_max"]

    /// The body of `PUT /v1/logs/{log}`: what is not there is not set.
    init(_ root: JSONValue) throws(InvalidBody) {
        self.init()
        try merge(root)
    }

    /// Takes a JSON merge patch (RFC 7396), the body of `PATCH /v1/logs/{log}`: null unsets, what is not there stays.
    mutating func merge(_ patch: JSONValue) throws(InvalidBody) {
        let members = try JSONMembers(patch, of: "The body", names: Self.names)
        if members.isNull("content_type") { contentType = nil }
        if let text = unsafe try members.string("content_type") {
            guard unsafe Self.isMediaType(text) else {
                throw InvalidBody(
                    "'content_type' of the body must have 1 to \(ServiceLimits.contentTypeBytesMax) bytes of printable ASCII, no "
                        + "space at either end.")
            }
            contentType = unsafe Array(text)
        }
        if members.isNull("retention") { retention = Retention() }
        if let value = members["retention"] { try retention.merge(value) }
        try mergeNumber(
            &appendsPerSecondMax, members, "appends_per_second_max", through: ServiceLimits.appendsPerSecondMaxMax)
    }

    /// What `text/plain; charset=utf-8` is made of.
    private static func isMediaType(_ text: UnsafeRawBufferPointer) -> Bool {
        guard (1...ServiceLimits.contentTypeBytesMax).contains(text.count) else { return false }
        let space = UInt8(ascii: " ")
        return unsafe text.first != space && text.last != space && text.allSatisfy { (space...0x7E).contains($0) }
    }
}

extension Retention {
    fileprivate mutating func merge(_ patch: JSONValue) throws(InvalidBody) {
        let members = try JSONMembers(patch, of: "'retention'", names: ["age_seconds", "bytes", "records"])
        try mergeNumber(&ageSeconds, members, "age_seconds", through: ServiceLimits.retentionSecondsMax)
        try mergeNumber(&bytes, members, "bytes", through: ServiceLimits.retentionAmountMax)
        try mergeNumber(&records, members, "records", through: ServiceLimits.retentionAmountMax)
    }
}

/// Sets a number that may be unset.
private func mergeNumber(
    _ number: inout UInt64?, _ members: JSONMembers, _ name: StaticString, through maximum: UInt64
) throws(InvalidBody) {
    if members.isNull(name) { number = nil }
    if let value = try members.number(name, from: 1, through: maximum) { number = value }
}

extension JSONWriter {
    /// Writes the settings of a log as members, each with a comma before it; null where nothing is set.
    mutating func settings(_ settings: LogSettings) {
        literal(#","content_type":"#)
        if let contentType = settings.contentType {
            unsafe contentType.withUnsafeBytes { unsafe string($0) }
        } else {
            literal("null")
        }
        literal(#","retention":{"age_seconds":"#)
        optional(settings.retention.ageSeconds)
        literal(#","bytes":"#)
        optional(settings.retention.bytes)
        literal(#","records":"#)
        optional(settings.retention.records)
        literal(#"},"appends_per_second_max":"#)
        optional(settings.appendsPerSecondMax)
    }

    private mutating func optional(_ value: UInt64?) {
        if let value { number(value) } else { literal("null") }
    }
}
