import Testing

@testable import HTTPFrontEnd

/// Requests that are answered at once.
@Suite struct RequestTests {
    @Test func requestsOnOneConnectionAreAnsweredInTurn() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        for number in 0..<5 {
            client.request("POST", "/echo/\(number)", body: "record \(number)")
            let response = try client.readResponse()
            #expect(response.status == 200)
            #expect(response.text == "record \(number)")
            #expect(response.headers["content-type"] == "text/plain")
        }
        #expect(server.onLoop { $0.handler.handledTargets } == (0..<5).map { "/echo/\($0)" })
        #expect(server.waitUntil { $0.frontEnd.isIdle })
        #expect(server.onLoop { $0.frontEnd.connectionCount } == 1)
    }

    @Test func theTargetIsSeenAsItWasSent() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        let target = "/echo/a%2Fb%00/../x?from=1&to=%41&&=&a+b"
        client.request("GET", target)
        _ = try client.readResponse()
        #expect(server.onLoop { $0.handler.handledTargets } == [target])
    }

    @Test func aHeadRequestGetsTheLengthWithoutTheBody() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("HEAD", "/echo")
        let head = try client.readResponse(toHEAD: true)
        #expect(head.status == 200)
        #expect(head.headers["content-length"] == "4")
        client.request("GET", "/echo")
        #expect(try client.readResponse().text == "echo")
    }

    @Test func headersAreFoundWithoutRegardToCase() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/later", body: "x", headers: ["aCCept: one", "Accept: two"])
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        let seen = server.onLoop { state in
            state.handler.waiting[0].header("Accept").map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(seen == "one")
        #expect(server.onLoop { $0.handler.waiting[0].header("Range") == nil })
        server.commit()
        #expect(try client.readResponse().status == 201)
    }

    @Test func aChunkedBodyArrivesWhole() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        var body = ""
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: Chunked\r\n\r\n")
        for count in [1, 15, 16, 1_000, 1_024, 5_000, 40_000] {
            let chunk = String(repeating: "\(count % 10)", count: count)
            body += chunk
            client.send("\(String(count, radix: 16));extension=1\r\n\(chunk)\r\n")
        }
        client.send("0\r\nTrailer: x\r\n\r\n")
        #expect(try client.readResponse().text == body)
        client.request("POST", "/echo", body: "next")
        #expect(try client.readResponse().text == "next")
    }

    @Test func aMalformedChunkIsNeverHandled() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
        #expect(try client.readResponse().status == 400)
        #expect(client.readsEnd())
        #expect(server.onLoop { $0.handler.handledTargets.isEmpty })
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    @Test func aBodyIsSentAfter100Continue() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readResponse().status == 100)
        client.send("hello")
        #expect(try client.readResponse().text == "hello")
    }

    @Test func aRequestSplitAnywhereIsReadTheSame() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        let plain = Array(TestClient.text("POST", "/echo/x?y=z", body: "0123456789", headers: ["X-A: b"]).utf8)
        let chunked = Array(
            "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"
                .utf8)
        for request in [plain, chunked] {
            for split in 1..<request.count {
                client.send(request[..<split])
                server.onLoop { _ in }
                client.send(request[split...])
                #expect(try client.readResponse().text == "0123456789", "split at byte \(split)")
            }
        }
    }

    @Test func aBodyThatIsNotWantedIsThrownAway() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/discard", body: String(repeating: "x", count: 100_000))
        let response = try client.readResponse()
        #expect(response.status == 200)
        #expect(response.body.isEmpty)
        client.request("POST", "/echo", body: "next")
        #expect(try client.readResponse().text == "next")
    }

    @Test func anAnswerGivenBeforeTheBodyLeavesTheConnectionUsable() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/nowhere", body: String(repeating: "x", count: 100_000))
        let response = try client.readResponse()
        #expect(response.status == 404)
        #expect(response.code == "not_found")
        #expect(response.text.contains(#""detail":"There is nothing at \"/nowhere\".""#))
        #expect(response.headers["cache-control"] == "no-store")
        #expect(response.headers["x-content-type-options"] == "nosniff")
        client.request("GET", "/nowhere")
        #expect(try client.readResponse().status == 404)
        client.request("POST", "/echo", body: "next")
        #expect(try client.readResponse().text == "next")
    }

    @Test func anAnswerCanCloseTheConnection() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("GET", "/close")
        #expect(try client.readResponse().headers["connection"] == "close")
        #expect(client.readsEnd())
    }

    @Test func aLargeAnswerArrivesWhole() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("GET", "/large")
        #expect(try client.readResponse().body.count == 8 << 20)
    }

    @Test func aClientThatLeavesInMidBodyIsNeverHandled() throws {
        let server = try TestServer()
        defer { server.stop() }
        for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
            let client = try TestClient(port: server.port)
            client.send("POST /echo HTTP/1.1\r\nHost: test\r\n\(framing)\r\n\r\n10\r\n0123456789abcdef\r\n")
            #expect(server.waitUntil { $0.frontEnd.receivingBytes > 0 })
            client.disconnect()
            #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
        }
        #expect(server.onLoop { $0.handler.admittedCount } == 2)
        #expect(server.onLoop { $0.handler.handledTargets.isEmpty })
        #expect(server.onLoop { $0.handler.abandonedCount } == 0)
        #expect(server.onLoop { $0.frontEnd.receivingBytes } == 0)
    }

    @Test func anIPv6AddressIsListenedOn() throws {
        let server: TestServer
        do {
            server = try TestServer(address: "[::1]:0")
        } catch HTTPFrontEndError.listenFailed(_, let operation, let number) {
            print("skipped: no IPv6 here (\(operation): errno \(number))")
            return
        }
        #expect(server.port != 0)
        server.stop()
    }

    @Test(arguments: [
        "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "localhost:1", "::1:80", "[::1]", "[::1:80", "[127.0.0.1]:80",
        "1.2.3.4.5:80",
    ])
    func anAddressThatIsNotALiteralIsRefused(_ address: String) {
        #expect(throws: HTTPFrontEndError.invalidAddress(address)) {
            try HTTPFrontEnd(address: address, handler: RequestHandler())
        }
    }

    @Test func aPortInUseIsReportedByName() throws {
        let server = try TestServer()
        defer { server.stop() }
        let address = "127.0.0.1:\(server.port)"
        #expect {
            try HTTPFrontEnd(address: address, handler: RequestHandler())
        } throws: { error in
            "\(error)" == "cannot listen on \(address): bind: Address already in use"
        }
    }
}
