import HTTPFrontEnd
import LogFormat
import LogStore

extension Service {
    /// Answers with a page.
    func respond(
        _ exchange: Exchange, _ reading: RecordReading, _ sink: PageSink, _ form: PageForm, _ query: RecordPageQuery
    ) {
        let summary = store.summary(reading.read.log)
        // Beyond the tail, and where no record is as late as a time, a page is empty at where the read ended.
        let first = sink.first ?? reading.read.next
        let next = sink.first == nil ? first : sink.next
        let tag = entityTag(of: reading.logID, "\(first)-\(next).\(form.tagLetter)")
        var response = matchedOr200(exchange, tag, sink.output.bytes, "\(form.mediaType)")
        response.addHeader("Vary", "Accept")
        response.addHeader("Cache-Control", text: Self.caching(query, sink, tail: summary.next))
        response.addHeader("First-Offset", first.rawValue)
        response.addHeader("Next-Offset", next.rawValue)
        response.addHeader("Tail-Offset", summary.next.rawValue)
        let name = String(decoding: summary.name, as: UTF8.self)
        response.addHeader("Link", text: "</v1/logs/\(name)/records?from=\(next)\(query.kept)>; rel=\"next\"")
        exchange.respond(response)
    }

    /// Answers with a record.
    func respond(_ exchange: Exchange, _ reading: RecordReading, _ sink: SingleRecordSink, _ offset: RecordOffset) {
        guard let timestamp = sink.timestamp else { return exchange.respond(.recordNotFound) }
        let tag = entityTag(of: reading.logID, "\(offset).b")
        let configured = store.summary(reading.read.log).settings.contentType
        let type = configured.map { String(decoding: $0, as: UTF8.self) } ?? "\(MediaType.bytes)"
        var response = matchedOr200(exchange, tag, sink.bytes, type)
        response.addHeader("Cache-Control", "private, no-cache")
        response.addHeader("Content-Security-Policy", "sandbox")
        response.addHeader("Content-Disposition", "attachment")
        response.addHeader("Offset", offset.rawValue)
        json.removeAll()
        json.rawTime(timestamp)
        unsafe json.bytes.withUnsafeBytes { unsafe response.addHeader("Timestamp", $0) }
        exchange.respond(response)
    }

    /// 304 to a client that has the bytes already, else 200 with them; with the header lines that both have. Like an answer to
    /// HEAD a 304 leaves without its body, and has the length of it (RFC 9110, 8.6): without one libmicrohttpd would say 0.
    private func matchedOr200(
        _ exchange: Exchange, _ tag: EntityTag, _ body: [UInt8], _ type: String
    ) -> HTTPResponse {
        let isKnown = tag.isNamed(byIfNoneMatch: exchange.combinedHeader("if-none-match"))
        var response = HTTPResponse(status: isKnown ? 304 : 200, copying: body)
        response.addHeader("Content-Type", text: type)
        response.addHeader("X-Content-Type-Options", "nosniff")
        response.addHeader("ETag", text: tag.text)
        return response
    }

    /// The tag of a part of a log in a form. Log ids are never used again within a store, and records never change; the form
    /// gets another letter when its encoding changes.
    private func entityTag(of log: LogID, _ part: String) -> EntityTag {
        EntityTag(opaque: "\(String(store.wal.storeID.first, radix: 16)).\(log).\(part)")
    }

    /// How long a page may be kept. Without the log's id in the URL a new log of the same name could have other records there.
    /// A page that was cut short by its limits can no longer change; one that ends at the tail grows, and its `Tail-Offset`
    /// would keep a client that follows it from going on.
    private static func caching(_ query: RecordPageQuery, _ sink: PageSink, tail: RecordOffset) -> String {
        if query.from.isRelative { return "no-store" }
        guard case .offset = query.from, query.logID != nil, sink.isFull, sink.next < tail else {
            return "private, no-cache"
        }
        return "private, max-age=\(ServiceLimits.immutableSeconds), immutable"
    }
}

extension HTTPResponse {
    /// Adds a header line whose value is ASCII.
    fileprivate mutating func addHeader(_ name: StaticString, text: String) {
        var text = text
        text.withUTF8 { unsafe addHeader(name, UnsafeRawBufferPointer($0)) }
    }
}
