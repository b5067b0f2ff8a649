import LogStore
import Testing

@testable import AppendLogService

@Suite struct NegotiationTests {
    @Test(
        arguments: [
            (nil, PageForm.lines), ("", .lines), (" \t", .lines), ("*/*", .lines), ("application/*", .lines),
            ("application/x-ndjson", .lines), ("Application/X-NDJSON", .lines),
            ("application/x-ndjson;charset=utf-8", .lines),
            ("application/vnd.appendlog.records", .framed), ("application/octet-stream", .raw),
            ("text/html, application/octet-stream", .raw), ("text/html,*/*;q=0.1", .lines),
            ("application/octet-stream;q=0.5", .raw), ("application/octet-stream;q=0.5, application/x-ndjson", .lines),
            ("application/octet-stream, application/x-ndjson;q=0.999", .raw),
            ("application/octet-stream ; q=1.000 , application/x-ndjson ; q=0.9", .raw),
            ("application/x-ndjson;q=0, */*", .framed), ("application/x-ndjson;q=0.000, application/*;q=0.2", .framed),
            ("application/*;q=0.1, application/octet-stream;q=0.2", .raw),
            ("application/*;q=0, application/octet-stream;q=0.2, */*", .raw),
            ("nonsense, application/octet-stream", .raw), ("application/x-ndjson;q=2, application/octet-stream", .raw),
            ("application/x-ndjson;q=1.001, application/octet-stream", .raw),
            ("application/x-ndjson;q=0.1234, application/octet-stream;q=0.1", .raw),
            ("application/x-ndjson;q=, application/octet-stream;q=0.1", .raw),
            ("application/x-ndjson;q=x, application/octet-stream;q=0.1", .raw),
            ("application/x-ndjson;q=0.x, application/octet-stream;q=0.1", .raw),
            ("application/x-ndjson;Q=0.1, application/octet-stream;q=0.2", .raw),
            (",,application/octet-stream,", .raw),
        ] as [(String?, PageForm)])
    func acceptChoosesTheForm(_ header: String?, _ form: PageForm) {
        #expect(PageForm.accepted(by: header.map { Array($0.utf8) }) == form)
    }

    @Test(arguments: [
        "text/html", "application/json", "image/*", "application/x-ndjsonx", "application/x-ndjso", "*/x-ndjson",
        "*/*;q=0", "application/x-ndjson;q=0", "application", "/", "application/", "/x-ndjson", "a/b/c", ",", ";",
        ";q=1",
        "application/*;q=0, */*", "\u{FF}",
    ])
    func aHeaderThatTakesNoFormGetsNone(_ header: String) {
        #expect(PageForm.accepted(by: Array(header.utf8)) == nil)
    }

    @Test(arguments: [
        ("application/x-ndjson", RecordBody.Encoding.lines), ("Application/X-NDJSON", .lines),
        ("application/x-ndjson;charset=utf-8", .lines), ("application/x-ndjson ; a=b", .lines),
        ("application/x-ndjson\t", .lines), ("application/vnd.appendlog.records", .framed),
        ("APPLICATION/VND.APPENDLOG.RECORDS;x", .framed), ("application/x-ndjsonx", .whole),
        ("application/x-ndjson x", .whole), ("application/x-ndjso", .whole), ("application/json", .whole), ("", .whole),
        (";", .whole), ("application/octet-stream", .whole),
    ])
    func theContentTypeSaysHowABodyIsCut(_ header: String, _ encoding: RecordBody.Encoding) {
        let bytes = Array(header.utf8)
        #expect(bytes.withUnsafeBytes { MediaType.encoding(ofContentType: $0) } == encoding)
    }

    @Test func aBodyWithoutContentTypeIsOneRecord() {
        #expect(MediaType.encoding(ofContentType: nil) == .whole)
    }
}
