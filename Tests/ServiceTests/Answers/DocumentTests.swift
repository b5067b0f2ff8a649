import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore
import Testing

@testable import AppendLogService

@Suite struct DocumentTests {
    private func written(_ body: (inout JSONWriter) -> Void) -> String {
        var json = JSONWriter()
        body(&json)
        return String(decoding: json.bytes, as: UTF8.self)
    }

    @Test func theAnswerToAnAppendSaysWhereItsRecordsAre() {
        let staged = StagedAppend(
            batch: BatchNumber(rawValue: 1), first: RecordOffset(rawValue: 40), count: 2,
            timestamp: Timestamp(rawValue: 1))
        let json = written { writer in Array("a.b".utf8).withUnsafeBytes { writer.appended(staged, log: $0) } }
        #expect(
            json == #"{"log":"a.b","first":40,"next":42,"count":2,"timestamp":"1970-01-01T00:00:00.000001Z"}"#)
    }

    @Test func aPageWithoutLogsEndsWithNull() {
        #expect(written { $0.logPage((logs: [], nextAfter: nil)) } == #""logs":[],"next_after":null"#)
        #expect(written { $0.logPage((logs: [], nextAfter: Array("x".utf8))) } == #""logs":[],"next_after":"x""#)
    }

    // MARK: Pages of records

    private struct Record {
        let offset: UInt64
        let bytes: [UInt8]
    }

    /// What a page of a form holds of the records, and the offset behind it.
    private func page(_ form: PageForm, _ query: String, _ records: [Record]) throws -> (text: [UInt8], next: UInt64) {
        let sink = PageSink.sink(for: form, try RecordPageQuery(Array(query.utf8)))
        for record in records {
            let takesMore = record.bytes.withUnsafeBytes {
                sink.take(
                    offset: RecordOffset(rawValue: record.offset), timestamp: Timestamp(rawValue: 5), record: $0)
            }
            if !takesMore { break }
        }
        return (sink.output.bytes, sink.next.rawValue)
    }

    private let records = (0..<4).map { Record(offset: 10 + UInt64($0), bytes: Array("0123456789".utf8)) }

    @Test(arguments: [
        ("from=10", 14), ("from=10&limit=1", 11), ("from=10&limit=3", 13), ("from=10&bytes=1", 11),
        ("from=10&bytes=10", 11), ("from=10&bytes=19", 11), ("from=10&bytes=20", 12), ("from=10&bytes=29&limit=4", 12),
        ("from=10&bytes=40", 14),
    ])
    func aPageEndsAtItsLimits(_ query: String, _ next: UInt64) throws {
        for form in PageForm.allCases {
            let (_, found) = try page(form, query, records)
            #expect(found == next)
        }
    }

    @Test func anEmptyPageHasNoBytes() throws {
        for form in PageForm.allCases {
            let (text, _) = try page(form, "from=99", [])
            #expect(text.isEmpty)
        }
    }

    @Test func linesAreJSONWithTextOrBase64() throws {
        let mixed = [
            Record(offset: 0, bytes: Array("a\"\n".utf8)), Record(offset: 1, bytes: [0xFF]),
            Record(offset: 2, bytes: []),
        ]
        let (text, _) = try page(.lines, "", mixed)
        #expect(
            String(decoding: text, as: UTF8.self) == #"""
                {"offset":0,"timestamp":"1970-01-01T00:00:00.000005Z","data":"a\"\n"}
                {"offset":1,"timestamp":"1970-01-01T00:00:00.000005Z","data_base64":"/w=="}
                {"offset":2,"timestamp":"1970-01-01T00:00:00.000005Z","data":""}

                """#)
    }

    @Test func framesAndRawBytesAreTheRecordsThemselves() throws {
        let mixed = [
            Record(offset: 0, bytes: Array("abc".utf8)), Record(offset: 1, bytes: []), Record(offset: 2, bytes: [7]),
        ]
        #expect(try page(.framed, "", mixed).text == [3, 0, 0, 0, 97, 98, 99, 0, 0, 0, 0, 1, 0, 0, 0, 7])
        #expect(try page(.raw, "", mixed).text == [97, 98, 99, 7])
    }

    @Test func aSingleRecordIsTakenOnce() {
        let sink = SingleRecordSink()
        for byte in UInt8(1)...2 {
            let takesMore = [byte].withUnsafeBytes {
                sink.take(offset: .zero, timestamp: Timestamp(rawValue: UInt64(byte)), record: $0)
            }
            #expect(!takesMore)
        }
        #expect(sink.bytes == [1] && sink.timestamp == Timestamp(rawValue: 1))
    }

    // MARK: The contract

    private var contract: String { String(decoding: Contract.openAPI, as: UTF8.self) }

    private static let problems: [Problem] = [
        .notFound, .methodNotAllowed, .invalidLogName, .invalidOffset, .invalidQuery(.unknown([])), .notAcceptable,
        .logNotFound, .recordNotFound, .emptyBody, .malformedRecords(atByte: 3),
        .recordTooLarge(index: 1, bytes: 2, bytesMax: 1), .tooManyRecords(countMax: 1), .overloadedByPending, .draining,
        .logPoisoned, .logPoisonedWhileWaiting, .diskFull, .recordDamaged, .recordUnreadable, .overloadedByReads,
        .notReady,
    ]

    @Test func everyProblemIsInTheContractAndSaysWhatToDo() {
        for problem in Self.problems {
            #expect(contract.contains("\(problem.code)"), "\(problem.code) is missing in openapi.yaml")
            #expect((400...599).contains(problem.status) && !problem.detail.isEmpty && problem.detail.hasSuffix("."))
            // What may succeed later says when, if the server can know.
            if problem.retryAfterSeconds != nil { #expect(problem.retryable && problem.status == 503) }
        }
    }

    @Test func onlyAnAppendThatWaitedMayHaveHadAnEffect() {
        for problem in Self.problems where problem.sideEffects == .unknown {
            #expect(problem.detail == Problem.logPoisonedWhileWaiting.detail)
        }
        #expect(Problem.logPoisonedWhileWaiting.sideEffects == .unknown)
    }

    @Test func theContractNamesThisVersion() {
        #expect(contract.hasPrefix("openapi: 3.1.0\n"))
        #expect(contract.contains("\n  version: \(Version.current)\n"))
    }
}
