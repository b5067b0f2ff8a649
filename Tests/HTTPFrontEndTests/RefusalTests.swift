import Testing

@testable import HTTPFrontEnd

/// Requests that the front end refuses by itself.
@Suite struct RefusalTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let fault: String
        let request: String
        let status: Int
        let code: String
        var testDescription: String { fault }
    }

    static let faults: [Case] = [
        Case(
            fault: "Content-Length twice, equal",
            request: "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            status: 400, code: "ambiguous_length"),
        Case(
            fault: "Content-Length twice, different",
            request: "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\ncontent-length: 30\r\n\r\nabc",
            status: 400, code: "ambiguous_length"),
        Case(
            fault: "Content-Length before chunked",
            request:
                "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            status: 400, code: "ambiguous_length"),
        Case(
            fault: "chunked before Content-Length",
            request:
                "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            status: 400, code: "ambiguous_length"),
        Case(
            fault: "chunked in HTTP/1.0",
            request: "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            status: 400, code: "ambiguous_length"),
        Case(
            fault: "Content-Length on a GET beside chunked",
            request:
                "GET /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            status: 400, code: "ambiguous_length"),
        Case(
            fault: "no Host", request: "GET /echo HTTP/1.1\r\n\r\n", status: 400, code: "invalid_host"),
        Case(
            fault: "Host twice", request: "GET /echo HTTP/1.1\r\nHost: t\r\nHOST: t\r\n\r\n",
            status: 400, code: "invalid_host"),
        Case(
            fault: "gzip", request: "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\nabc",
            status: 501, code: "unknown_transfer_coding"),
        Case(
            fault: "gzip, chunked",
            request: "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            status: 501, code: "unknown_transfer_coding"),
        Case(
            fault: "chunked, then gzip",
            request:
                "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
            status: 501, code: "unknown_transfer_coding"),
        Case(
            fault: "chunked twice",
            request:
                "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            status: 501, code: "unknown_transfer_coding"),
        Case(
            fault: "white space before the colon",
            request: "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length : 3\r\n\r\nabc",
            status: 400, code: "invalid_header"),
        Case(
            fault: "control character in a header name",
            request: "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length\u{B}: 3\r\n\r\nabc",
            status: 400, code: "invalid_header"),
        Case(
            fault: "NUL in the target", request: "GET /echo\0/x HTTP/1.1\r\nHost: t\r\n\r\n",
            status: 400, code: "invalid_target"),
        Case(
            fault: "space in the target", request: "GET /echo /x HTTP/1.1\r\nHost: t\r\n\r\n",
            status: 400, code: "invalid_target"),
        Case(
            fault: "tab in the target", request: "GET /echo\t HTTP/1.1\r\nHost: t\r\n\r\n",
            status: 400, code: "invalid_target"),
        Case(
            fault: "target of 2049 bytes",
            request: "GET /echo\(String(repeating: "x", count: 2_044)) HTTP/1.1\r\nHost: t\r\n\r\n",
            status: 414, code: "target_too_long"),
    ]

    @Test(arguments: faults)
    func aRequestThatCannotBeTrustedIsRefusedAndTheConnectionClosed(_ fault: Case) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send(fault.request)
        let response = try client.readResponse()
        #expect(response.status == fault.status)
        #expect(response.code == fault.code)
        #expect(response.headers["connection"] == "close")
        #expect(client.readsEnd())
        #expect(server.onLoop { $0.handler.admittedCount } == 0)
        #expect(server.onLoop { $0.handler.handledTargets.isEmpty })
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    /// These never reach the handler; their answers are libmicrohttpd's own HTML.
    @Test(arguments: [
        (
            "header lines beyond the connection's memory",
            "GET /echo HTTP/1.1\r\nX: \(String(repeating: "x", count: 9_000))", 431
        ),
        ("request line beyond the connection's memory", "GET /\(String(repeating: "x", count: 9_000))", 414),
        ("header line without colon", "GET /echo HTTP/1.1\r\nHost\r\n\r\n", 400),
        ("Content-Length that is no number", "GET /echo HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n", 400),
        ("negative Content-Length", "GET /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n", 400),
        (
            "Content-Length beyond 64 bits",
            "GET /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 18446744073709551616\r\n\r\n", 413
        ),
        ("HTTP/2.0", "GET /echo HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    ])
    func whatLibmicrohttpdRefusesByItselfLeavesNothingOpen(_ fault: String, _ request: String, _ status: Int) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send(request)
        #expect(try client.readResponse().status == status)
        // libmicrohttpd 0.9.75 sends the header lines twice where the Content-Length is wrong, then closes.
        client.discardRest()
        #expect(client.readsEnd())
        #expect(server.onLoop { $0.handler.admittedCount } == 0)
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
    }

    @Test func aTargetOfExactlyTheLimitIsServed() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        let target = "/echo" + String(repeating: "x", count: 2_043)
        client.request("GET", target)
        #expect(try client.readResponse().status == 200)
        #expect(server.onLoop { $0.handler.handledTargets } == [target])
    }

    @Test func aNonASCIITargetReachesTheService() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send(Array("GET /echo".utf8) + [0xFF, 0xC3] + Array(" HTTP/1.1\r\nHost: t\r\n\r\n".utf8))
        #expect(try client.readResponse().status == 200)
    }

    @Test func anHTTP10RequestNeedsNoHost() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
        #expect(try client.readResponse().text == "abc")
        #expect(client.readsEnd())
    }

    // MARK: Bodies beyond the limit

    @Test func aBodyTooLargeIsRefusedBeforeItIsSentWhenTheClientAsks() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /limit HTTP/1.1\r\nHost: t\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n")
        let response = try client.readResponse()
        #expect(response.status == 413)
        #expect(response.code == "body_too_large")
        #expect(client.readsEnd())
        #expect(server.onLoop { $0.handler.handledTargets.isEmpty })
    }

    @Test func aBodyTooLargeIsThrownAwayAndRefusedAtItsEnd() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /limit HTTP/1.1\r\nHost: t\r\nContent-Length: 101\r\n\r\n")
        #expect(server.waitUntil { $0.handler.admittedCount == 1 })
        #expect(client.hasNothingToRead())
        client.send(String(repeating: "x", count: 101))
        #expect(try client.readResponse().code == "body_too_large")
        client.request("POST", "/limit", body: String(repeating: "y", count: 100))
        #expect(try client.readResponse().body.count == 100)
        #expect(server.onLoop { $0.handler.handledTargets } == ["/limit"])
    }

    @Test func aBodyBeyondWhatIsDrainedIsRefusedAtOnce() throws {
        let server = try TestServer { $0.drainBytesMax = 1_000 }
        defer { server.stop() }
        for target in ["/limit", "/discard", "/nowhere"] {
            let client = try TestClient(port: server.port)
            client.send("POST \(target) HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.status == (target == "/nowhere" ? 404 : 413))
            #expect(response.headers["connection"] == "close")
            #expect(client.readsEnd())
        }
        #expect(server.onLoop { $0.handler.handledTargets.isEmpty })
    }

    @Test func aHugeContentLengthIsRefusedAtOnce() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 18446744073709551614\r\n\r\n")
        #expect(try client.readResponse().code == "body_too_large")
        #expect(client.readsEnd())
    }

    @Test func aChunkedBodyTooLargeIsThrownAwayAndRefusedAtItsEnd() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /limit HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in 0..<3 { client.send("28\r\n\(String(repeating: "x", count: 40))\r\n") }
        client.send("0\r\n\r\n")
        #expect(try client.readResponse().code == "body_too_large")
        #expect(server.onLoop { $0.frontEnd.receivingBytes } == 0)
        client.request("POST", "/limit", body: "next")
        #expect(try client.readResponse().text == "next")
        #expect(server.onLoop { $0.handler.handledTargets } == ["/limit"])
    }

    @Test func aChunkedBodyBeyondWhatIsDrainedLosesItsConnection() throws {
        let server = try TestServer { $0.drainBytesMax = 10_000 }
        defer { server.stop() }
        for target in ["/limit", "/discard", "/nowhere"] {
            let client = try TestClient(port: server.port)
            client.send("POST \(target) HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = "400\r\n\(String(repeating: "x", count: 1_024))\r\n"
            for _ in 0..<9 { client.send(chunk) }
            #expect(client.hasNothingToRead())
            client.send(chunk)
            #expect(client.readsEnd())
        }
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
        #expect(server.onLoop { $0.handler.handledTargets.isEmpty })
    }

    // MARK: Bytes being received

    @Test(arguments: ["Content-Length: 60000", "Transfer-Encoding: chunked"])
    func aBodyBeyondTheMemoryForBodiesIsRefusedUntilThereIsRoom(_ framing: String) throws {
        let server = try TestServer { limits in
            limits.requestBodyBytesMax = 100_000
            limits.receivingBytesMax = 100_000
        }
        defer { server.stop() }
        let body = String(repeating: "x", count: 60_000)
        let isChunked = framing.hasPrefix("T")
        let wholeBody = isChunked ? "ea60\r\n\(body)\r\n0\r\n\r\n" : body
        let first = try TestClient(port: server.port)
        first.request("POST", "/later", body: body)
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        let second = try TestClient(port: server.port)
        second.send("POST /echo HTTP/1.1\r\nHost: t\r\n\(framing)\r\n\r\n\(wholeBody)")
        let refused = try second.readResponse()
        #expect(refused.status == 503)
        #expect(refused.code == "overloaded")
        #expect(refused.headers["retry-after"] == "1")
        server.commit()
        #expect(try first.readResponse().body.count == 60_000)
        second.send("POST /echo HTTP/1.1\r\nHost: t\r\n\(framing)\r\n\r\n\(wholeBody)")
        #expect(try second.readResponse().body.count == 60_000)
        #expect(server.waitUntil { $0.frontEnd.receivingBytes == 0 })
    }

    @Test func aChunkedBodyNeverReservesMoreThanItMayHold() throws {
        let server = try TestServer { $0.requestBodyBytesMax = 1_500 }
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /later HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in 0..<14 { client.send("64\r\n\(String(repeating: "x", count: 100))\r\n") }
        client.send("0\r\n\r\n")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        #expect(server.onLoop { $0.frontEnd.receivingBytes } == 1_500)
        server.commit()
        #expect(try client.readResponse().body.count == 1_400)
    }

    @Test func aReleasedBodyMakesRoomWhileItsRequestWaits() throws {
        let server = try TestServer { limits in
            limits.requestBodyBytesMax = 100_000
            limits.receivingBytesMax = 100_000
        }
        defer { server.stop() }
        let first = try TestClient(port: server.port)
        first.request("POST", "/later", body: String(repeating: "x", count: 60_000))
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.onLoop { $0.handler.waiting[0].releaseBody() }
        #expect(server.onLoop { $0.frontEnd.receivingBytes } == 0)
        let second = try TestClient(port: server.port)
        second.request("POST", "/echo", body: String(repeating: "y", count: 60_000))
        #expect(try second.readResponse().status == 200)
        server.commit()
        #expect(try first.readResponse().body.isEmpty)
    }
}
