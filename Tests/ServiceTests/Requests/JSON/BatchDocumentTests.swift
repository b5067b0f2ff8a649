import LogFormat
import LogStore
import Testing

@testable import AppendLogService

@Suite struct BatchDocumentTests {
    private func document(_ text: String) throws -> BatchDocument {
        let parser = JSONParser()
        return try Array(text.utf8).withUnsafeBytes { bytes in
            try parser.parse(bytes) { root throws(InvalidBody) in try BatchDocument(root) }
        }
    }

    @Test func recordsLieFramedBehindEachOther() throws {
        let found = try document(
            #"{"appends":[{"log":"a","records":["x",{"base64":"/wA="},""]},{"records":["é"],"log":"b","if_match":"7.42"}]}"#
        )
        #expect(found.framed == [1, 0, 0, 0, 0x78, 2, 0, 0, 0, 0xFF, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0xC3, 0xA9])
        #expect(found.appends.map(\.records) == [0..<15, 15..<21])
        #expect(found.appends.map(\.recordCount) == [3, 1])
        #expect(found.appends.map { String(decoding: $0.name, as: UTF8.self) } == ["a", "b"])
        #expect(found.appends[0].condition == .none)
        #expect(found.appends[1].condition == .next(RecordOffset(rawValue: 42), log: LogID(rawValue: 7)))
    }

    @Test(
        arguments: [
            ("[]", nil, "JSON object"), ("{}", nil, "'appends'"), (#"{"appends":{}}"#, nil, "array"),
            (#"{"appends":[]}"#, nil, "at least one"),
            (#"{"appends":[],"more":1}"#, nil, "'more'"), (#"{"appends":[1]}"#, 0, "JSON object"),
            (#"{"appends":[{"records":["x"]}]}"#, 0, "'log'"),
            (#"{"appends":[{"log":".a","records":["x"]}]}"#, 0, "'log'"),
            (#"{"appends":[{"log":1,"records":["x"]}]}"#, 0, "'log'"), (#"{"appends":[{"log":"a"}]}"#, 0, "'records'"),
            (#"{"appends":[{"log":"a","records":[]}]}"#, 0, "at least one record"),
            (#"{"appends":[{"log":"a","records":"x"}]}"#, 0, "array"),
            (#"{"appends":[{"log":"a","records":["x"]},{"log":"b","records":[1]}]}"#, 1, "Record 0"),
            (#"{"appends":[{"log":"a","records":["x",{"base64":"AA"}]}]}"#, 0, "Record 1"),
            (#"{"appends":[{"log":"a","records":[{}]}]}"#, 0, "Record 0"),
            (#"{"appends":[{"log":"a","records":[{"base64":null}]}]}"#, 0, "Record 0"),
            (#"{"appends":[{"log":"a","records":[{"text":"x"}]}]}"#, 0, "'text'"),
            (#"{"appends":[{"log":"a","records":["x"],"if_match":"x"}]}"#, 0, "'if_match'"),
            (#"{"appends":[{"log":"a","records":["x"],"if_match":1}]}"#, 0, "'if_match'"),
            (#"{"appends":[{"log":"a","records":["x"],"if_none_match":null}]}"#, 0, "'if_none_match'"),
            (#"{"appends":[{"log":"a","records":["x"],"if_none_match":"1"}]}"#, 0, "'if_none_match'"),
            (#"{"appends":[{"log":"a","records":["x"],"if_match":"1","if_none_match":"*"}]}"#, 0, "not both"),
            (#"{"appends":[{"log":"a","records":["x"],"producer":"1"}]}"#, 0, "'producer'"),
        ] as [(String, Int?, String)])
    func whatIsWrongIsNamedWithItsAppend(_ text: String, _ index: Int?, _ complaint: String) throws {
        let error = try #require(throws: InvalidBody.self) { try document(text) }
        #expect(error.index == index)
        #expect(error.detail.contains(complaint), "\(error.detail)")
    }

    @Test func theNumberOfAppendsIsLimited() throws {
        let append = #"{"log":"a","records":["x"]}"#
        let most = Array(repeating: append, count: ServiceLimits.appendsPerBatchMax)
        #expect(try document(#"{"appends":[\#(most.joined(separator: ","))]}"#).appends.count == most.count)
        #expect(throws: InvalidBody.self) {
            try document(#"{"appends":[\#((most + [append]).joined(separator: ","))]}"#)
        }
    }

    @Test func base64IsDecodedAsItWasEncoded() {
        for count in 0..<70 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
            var text: [UInt8] = []
            bytes.withUnsafeBytes { Base64.append($0, to: &text) }
            var decoded: [UInt8] = [1]
            #expect(text.withUnsafeBytes { Base64.appendDecoded($0, to: &decoded) })
            #expect(decoded == [1] + bytes)
        }
    }

    @Test(arguments: [
        "A", "AA", "AAA", "AAAAA", "AA=A", "=AAA", "A===", "====", "AA==AAAA", "AAA=AAAA", "AAA-", "AA A", "AB==",
        "AAB=", "AAAA\n",
    ])
    func anyOtherTextIsNoBase64(_ text: String) {
        var decoded: [UInt8] = [1]
        #expect(!Array(text.utf8).withUnsafeBytes { Base64.appendDecoded($0, to: &decoded) })
        #expect(decoded == [1])
    }
}
