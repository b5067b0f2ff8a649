import Testing

@testable import HTTPFrontEnd

/// Requests that are answered later.
@Suite struct WaitingTests {
    @Test(arguments: ["/poll", "/later", "/suspend"])
    func aWaitingRequestIsAnsweredByTheCommit(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        for number in 0..<3 {
            client.request("POST", target, body: "record \(number)")
            #expect(server.waitUntil { $0.handler.waiting.count == 1 })
            #expect(client.hasNothingToRead())
            let expected: Exchange.Phase = target == "/suspend" ? .suspended : .waiting
            #expect(server.onLoop { $0.handler.waiting[0].phase } == expected)
            server.commit()
            let response = try client.readResponse()
            #expect(response.status == 201)
            #expect(response.text == "record \(number)")
        }
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    @Test(arguments: ["/poll", "/later"])
    func aRequestThatHasWaitedTwoMillisecondsSuspendsItself(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", target, body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.advance(microseconds: 1_999)
        #expect(server.onLoop { $0.handler.waiting[0].phase } == .waiting)
        server.advance(microseconds: 1)
        #expect(server.onLoop { $0.handler.waiting[0].phase } == .suspendedItself)
        let polledCount = server.onLoop { $0.handler.polledCount }
        server.onLoop { _ in }
        #expect(server.onLoop { $0.handler.polledCount } == polledCount)
        #expect(server.onLoop { $0.frontEnd.waitingExchanges(nowMicroseconds: 1_002_500) } == (1, 2_500))
        server.commit()
        #expect(try client.readResponse().status == 201)
        client.request("POST", "/echo", body: "next")
        #expect(try client.readResponse().text == "next")
    }

    @Test func aCommitThatIsNotItsOwnSuspendsAPolledRequestAgain() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/poll", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.advance(microseconds: 2_000)
        for _ in 0..<3 {
            let polledCount = server.onLoop { $0.handler.polledCount }
            server.onLoop { $0.frontEnd.resumeWaiting() }
            #expect(server.onLoop { $0.handler.polledCount } > polledCount)
            #expect(server.onLoop { $0.handler.waiting[0].phase } == .suspendedItself)
        }
        server.commit()
        #expect(try client.readResponse().status == 201)
    }

    @Test(arguments: ["/poll", "/later", "/suspend"])
    func pipelinedRequestsAreAnsweredInOrderThoughTheirAnswersComeLater(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let other = try TestClient(port: server.port)
        other.request("POST", "/suspend", body: "other")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        let client = try TestClient(port: server.port)
        client.send((0..<5).map { TestClient.text("POST", target, body: "record \($0)") }.joined())
        for number in 0..<5 {
            #expect(server.waitUntil { $0.handler.handledTargets.count == number + 2 })
            server.commit()
            #expect(try client.readResponse().text == "record \(number)")
        }
        #expect(try other.readResponse().text == "other")
    }

    @Test(arguments: [1, 127, 128, 129, 300])
    func allOfManyRequestsThatWaitAtOnceAreAnswered(_ count: Int) throws {
        let server = try TestServer()
        defer { server.stop() }
        for target in ["/poll", "/later", "/suspend"] {
            let clients = try (0..<count).map { _ in try TestClient(port: server.port) }
            for (number, client) in clients.enumerated() { client.request("POST", target, body: "\(number)") }
            #expect(server.waitUntil { $0.handler.waiting.count == count })
            server.commit()
            for (number, client) in clients.enumerated() {
                #expect(try client.readResponse().text == "\(number)")
            }
        }
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 })
    }

    // MARK: Others go on while some wait. libmicrohttpd then always says that work is left, and is not believed.

    @Test func aLargeBodyIsReadWhileAnotherRequestWaits() throws {
        let server = try TestServer()
        defer { server.stop() }
        let waiting = try TestClient(port: server.port)
        waiting.request("POST", "/poll", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        let client = try TestClient(port: server.port)
        client.request("POST", "/echo", body: String(repeating: "y", count: 1_000_000))
        #expect(try client.readResponse().body.count == 1_000_000)
        client.request("GET", "/large")
        #expect(try client.readResponse().body.count == 8 << 20)
        #expect(server.onLoop { $0.handler.waiting[0].phase } == .waiting)
        server.commit()
        #expect(try waiting.readResponse().status == 201)
    }

    @Test func headersLongerThanTheReadBufferAreReadWhileAnotherRequestWaits() throws {
        let server = try TestServer()
        defer { server.stop() }
        let waiting = try TestClient(port: server.port)
        waiting.request("POST", "/poll", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        let client = try TestClient(port: server.port)
        client.request("POST", "/echo", body: "y", headers: ["X-Long: \(String(repeating: "z", count: 5_000))"])
        #expect(try client.readResponse().text == "y")
    }

    @Test func aClientGetsIts100ContinueWhileAnotherRequestWaits() throws {
        let server = try TestServer()
        defer { server.stop() }
        let waiting = try TestClient(port: server.port)
        waiting.request("POST", "/poll", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        let client = try TestClient(port: server.port)
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readResponse().status == 100)
        client.send("y")
        #expect(try client.readResponse().text == "y")
    }

    @Test(arguments: ["/poll", "/later", "/suspend"])
    func anAnswerFromOutsideAHandlerCallAsksForARun(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", target, body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        #expect(server.onLoop { !$0.frontEnd.mustRunAgain })
        let mustRunAgain = server.onLoop { state in
            state.handler.waiting[0].respond(HTTPResponse(status: 200))
            return state.frontEnd.mustRunAgain
        }
        #expect(mustRunAgain)
        #expect(try client.readResponse().status == 200)
    }

    @Test func aResumedRequestAsksForARun() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", "/poll", body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.advance(microseconds: 2_000)
        let mustRunAgain = server.onLoop { state in
            state.frontEnd.resumeWaiting()
            return state.frontEnd.mustRunAgain
        }
        #expect(mustRunAgain)
        server.commit()
        #expect(try client.readResponse().status == 201)
    }

    @Test func aSecondRequestThatArrivesWhileTheFirstWaitsIsReadAfterIt() throws {
        let server = try TestServer()
        defer { server.stop() }
        let other = try TestClient(port: server.port)
        let client = try TestClient(port: server.port)
        client.request("POST", "/later/first", body: "first")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        client.request("POST", "/echo/second", body: "second")
        other.request("POST", "/poll/other", body: "other")
        #expect(server.waitUntil { $0.handler.waiting.count == 2 })
        // Only the first is answered; the other keeps libmicrohttpd busy.
        server.onLoop { $0.handler.waiting[0].respond(HTTPResponse(status: 200, body: "first")) }
        #expect(try client.readResponse().text == "first")
        #expect(try client.readResponse().text == "second")
        #expect(server.onLoop { $0.handler.waiting[1].phase } == .waiting)
    }

    @Test func anAnswerGivenByAnotherRequestsHandlerIsSent() throws {
        let server = try TestServer()
        defer { server.stop() }
        for target in ["/later", "/suspend"] {
            let client = try TestClient(port: server.port)
            client.request("POST", target, body: "x")
            #expect(server.waitUntil { !$0.handler.waiting.isEmpty })
            server.onLoop { state in
                state.handler.duringNextHandle = { state.handler.commit() }
            }
            let other = try TestClient(port: server.port)
            other.request("GET", "/echo")
            #expect(try other.readResponse().text == "echo")
            #expect(try client.readResponse().status == 201)
        }
    }

    // MARK: Clients that go

    @Test(arguments: ["/poll", "/later"])
    func aClientThatResetsWhileWaitingIsReportedAndItsExchangeKeptUntilReleased(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", target, body: "kept")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        client.reset()
        #expect(server.waitUntil { $0.handler.abandonedCount == 1 })
        #expect(server.onLoop { $0.handler.waiting[0].isClientGone })
        #expect(server.onLoop { $0.handler.waiting[0].header("Host") == nil })

        let other = try TestClient(port: server.port)
        other.request("POST", target, body: "other")
        #expect(server.waitUntil { $0.handler.waiting.count == 2 })
        #expect(server.onLoop { $0.handler.waiting[0] !== $0.handler.waiting[1] })
        #expect(server.onLoop { String(decoding: $0.handler.waiting[0].body, as: UTF8.self) } == "kept")
        server.onLoop { $0.handler.waiting[0].respond(HTTPResponse(status: 201)) }
        #expect(server.onLoop { $0.frontEnd.openExchangeCount } == 2)
        server.commit()
        #expect(try other.readResponse().text == "other")
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    @Test(arguments: ["/poll", "/later", "/suspend"])
    func aClientThatResetsWhileSuspendedHarmsNobody(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", target, body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.advance(microseconds: 2_000)
        #expect(server.onLoop { $0.handler.waiting[0].isSuspended })
        client.reset()
        server.onLoop { _ in }
        #expect(server.onLoop { $0.frontEnd.openExchangeCount } == 1)
        server.commit()
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 && $0.frontEnd.isIdle })
        let other = try TestClient(port: server.port)
        other.request("POST", "/echo", body: "other")
        #expect(try other.readResponse().text == "other")
    }

    @Test(arguments: ["/poll", "/later", "/suspend"], ["GET", "POST"])
    func aClientThatEndsSendingWhileItWaitsIsAnswered(_ target: String, _ method: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request(method, target, body: method == "POST" ? "x" : nil)
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        client.endSending()
        server.advance(seconds: 2)
        server.commit()
        #expect(try client.readResponse().status == 201)
    }

    @Test(arguments: ["/poll", "/later", "/suspend"], ["GET", "POST"])
    func aHalfClosedClientIsAnswered(_ target: String, _ method: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request(method, target, body: method == "POST" ? "x" : nil)
        client.endSending()
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        server.commit()
        #expect(try client.readResponse().status == 201)
    }
}
