import Glibc
import Testing

@testable import HTTPFrontEnd

@Suite struct ProblemTests {
    @Test func aProblemIsOneJSONObjectWithEveryMember() {
        var problem = Problem(
            status: 503, code: "log_poisoned", title: "Log poisoned", detail: "A \"sync\" failed.",
            sideEffects: .unknown)
        problem.retryable = true
        #expect(
            String(decoding: problem.json(), as: UTF8.self)
                == #"{"type":"https://appendlog.dev/problems/log_poisoned","title":"Log poisoned","status":503,"#
                + #""code":"log_poisoned","detail":"A \"sync\" failed.","retryable":true,"side_effects":"unknown"}"#)
    }

    @Test(arguments: [
        ("", #""""#),
        ("plain", #""plain""#),
        (#"a"b\c/d"#, #""a\"b\\c/d""#),
        ("\n\r\t", #""\n\r\t""#),
        ("\0\u{1}\u{1F}\u{8}\u{C}", #""\u0000\u0001\u001f\u0008\u000c""#),
        ("\u{7F}é💾\u{2028}", "\"\u{7F}é💾\u{2028}\""),
    ])
    func textIsQuotedAsJSONWantsIt(_ text: String, _ expected: String) {
        var output: [UInt8] = []
        JSONText.appendQuoted(text, to: &output)
        #expect(String(decoding: output, as: UTF8.self) == expected)
    }

    @Test func everyByteBelow32IsEscaped() {
        for value in UInt8(0)..<32 {
            var output: [UInt8] = []
            JSONText.appendQuoted(String(decoding: [value], as: UTF8.self), to: &output)
            #expect(output.first == UInt8(ascii: "\"") && output.last == UInt8(ascii: "\""))
            #expect(output.dropFirst().dropLast().allSatisfy { $0 >= 32 })
            #expect(output.count == 4 || output.count == 8)
        }
    }
}

@Suite struct AnswerTests {
    @Test func headerValuesArriveAsTheyWereGiven() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/suspend", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.onLoop { state in
            var response = HTTPResponse(status: 201)
            response.addHeader("Literal", "text")
            Array("/v1/logs/a/records/0".utf8).withUnsafeBytes { response.addHeader("Location", $0) }
            response.addHeader("Zero", 0 as UInt64)
            response.addHeader("Largest", UInt64.max)
            state.handler.waiting[0].respond(response)
        }
        let response = try client.readResponse()
        #expect(response.headers["literal"] == "text")
        #expect(response.headers["location"] == "/v1/logs/a/records/0")
        #expect(response.headers["zero"] == "0")
        #expect(response.headers["largest"] == "18446744073709551615")
        #expect(response.headers["content-length"] == "0")
        #expect(response.headers["date"] != nil)
    }

    @Test func aLineBreakInAHeaderValueTraps() async {
        await #expect(processExitsWith: .failure) {
            var response = HTTPResponse(status: 200)
            Array("a\r\nSet-Cookie: b".utf8).withUnsafeBytes { response.addHeader("Location", $0) }
        }
    }

    @Test func anAdoptedBodyIsSent() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/suspend", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.onLoop { state in
            let memory = UnsafeMutableRawBufferPointer(start: malloc(100_000), count: 100_000)
            memory.initializeMemory(as: UInt8.self, repeating: 9)
            state.handler.waiting[0].respond(HTTPResponse(status: 200, adopting: memory))
        }
        #expect(try client.readResponse().body == [UInt8](repeating: 9, count: 100_000))
    }

    @Test func aSecondAnswerTraps() async {
        await #expect(processExitsWith: .failure) {
            let exchange = Exchange(
                frontEnd: try HTTPFrontEnd(address: "127.0.0.1:0", handler: RequestHandler()), targetBytesMax: 8)
            exchange.phase = .receiving
            exchange.respond(HTTPResponse(status: 200))
            exchange.respond(HTTPResponse(status: 200))
        }
    }
}
