import Testing

@testable import HTTPFrontEnd

/// The memory of answers on their way, by which a service bounds what it answers.
@Suite struct AnsweringBytesTests {
    @Test func anAnswerThatIsNotReadCountsUntilItsClientGoes() throws {
        let server = try TestServer()
        defer { server.stop() }
        let deaf = try TestClient(port: server.port)
        deaf.request("GET", "/large")
        #expect(server.waitUntil { $0.frontEnd.answeringBytes == 8 << 20 })
        deaf.reset()
        #expect(server.waitUntil { $0.frontEnd.answeringBytes == 0 })
    }

    @Test func answersThatWereReadCountNoLonger() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        for target in ["/echo", "/unknown", "/large"] {
            client.request("GET", target)
            #expect(try client.readResponse().status < 500)
        }
        let gone = try TestClient(port: server.port)
        gone.request("POST", "/later", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        gone.reset()
        #expect(server.waitUntil { $0.handler.abandonedCount == 1 })
        server.commit()
        #expect(server.waitUntil { $0.frontEnd.answeringBytes == 0 })
    }
}
