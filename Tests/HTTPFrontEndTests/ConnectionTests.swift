import Glibc
import Testing

@testable import HTTPFrontEnd

/// Limits and deadlines of connections, and their end.
@Suite struct ConnectionTests {
    // MARK: Limits

    @Test func connectionsAboveTheLimitAreToldSoAndLaterOnesAreServedAgain() throws {
        let server = try TestServer { limits in
            limits.connectionsMax = 4
            limits.connectionsRefusedMax = 3
        }
        defer { server.stop() }
        let served = try (0..<4).map { _ in try TestClient(port: server.port) }
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 4 })
        for _ in 0..<10 {
            let surplus = try TestClient(port: server.port)
            surplus.request("POST", "/echo", body: "x")
            let response = try surplus.readResponse()
            #expect(response.status == 503)
            #expect(response.code == "overloaded")
            #expect(response.headers["retry-after"] == "1")
            #expect(response.headers["connection"] == "close")
            #expect(surplus.readsEnd())
        }
        served[0].request("POST", "/echo", body: "served")
        #expect(try served[0].readResponse().text == "served")
        served[1].disconnect()
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 3 })
        let later = try TestClient(port: server.port)
        later.request("POST", "/echo", body: "later")
        #expect(try later.readResponse().text == "later")
        #expect(server.onLoop { $0.handler.admittedCount } == 2)
    }

    /// libmicrohttpd stops listening at its own limit, and begins again only in the round after a close.
    @Test func listeningGoesOnAfterLibmicrohttpdWasAtItsLimit() throws {
        let server = try TestServer { limits in
            limits.connectionsMax = 2
            limits.connectionsRefusedMax = 0
        }
        defer { server.stop() }
        for _ in 0..<3 {
            let first = [try TestClient(port: server.port), try TestClient(port: server.port)]
            #expect(server.waitUntil { $0.frontEnd.connectionCount == 2 })
            let pending = try TestClient(port: server.port)
            pending.request("POST", "/echo", body: "x")
            server.onLoop { _ in }
            #expect(pending.hasNothingToRead())
            first[0].disconnect()
            #expect(try pending.readResponse().text == "x")
            pending.disconnect()
            first[1].disconnect()
            #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 })
        }
    }

    @Test func limitsThatCannotWorkAreRefused() throws {
        let faults: [(inout HTTPLimits) -> Void] = [
            { $0.bodyRateBytesMin = 0 }, { $0.connectionsMax = 0 }, { $0.connectionsRefusedMax = -1 },
            { $0.headerDeadlineSeconds = 0 }, { $0.receivingBytesMax = $0.requestBodyBytesMax - 1 },
            { $0.targetBytesMax = $0.connectionMemoryBytes }, { $0.targetBytesMax = 0 },
        ]
        for adjust in faults {
            #expect(throws: HTTPFrontEndError.self) { try TestServer(adjust) }
        }
    }

    @Test func manyConnectionsAtOnceAreAllAccepted() throws {
        let server = try TestServer()
        defer { server.stop() }
        let clients = try (0..<100).map { _ in try TestClient(port: server.port) }
        // No request is sent: nothing but the connections themselves wakes the loop.
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 100 })
        for client in clients { client.disconnect() }
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 })
    }

    /// An owner that is woken once for all of them, as by an edge-triggered poll.
    @Test func oneWakeUpIsEnoughForManyConnections() throws {
        let frontEnd = try HTTPFrontEnd(address: "127.0.0.1:0", handler: TestHandler())
        let clients = try (0..<50).map { _ in try TestClient(port: frontEnd.listeningPort) }
        repeat { frontEnd.run(nowMicroseconds: 1) } while frontEnd.mustRunAgain
        #expect(frontEnd.connectionCount == 50)
        for client in clients { client.request("POST", "/echo", body: "x") }
        repeat { frontEnd.run(nowMicroseconds: 1) } while frontEnd.mustRunAgain
        for client in clients { #expect(try client.readResponse().text == "x") }
        frontEnd.stop()
    }

    // MARK: Deadlines

    /// A point in the life of a connection, how long it may last, and what is sent to get there.
    struct Deadline: CustomTestStringConvertible, Sendable {
        let point: String
        let seconds: UInt64
        let sent: String
        var testDescription: String { point }
    }

    @Test(arguments: [
        Deadline(point: "nothing sent", seconds: 5, sent: ""),
        Deadline(point: "in the request line", seconds: 5, sent: "POST /ec"),
        Deadline(point: "in the headers", seconds: 5, sent: "POST /echo HTTP/1.1\r\nHost: t\r\n"),
        Deadline(
            point: "before the body", seconds: 7, sent: "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n"),
        Deadline(
            point: "in the body", seconds: 7 + 3,
            sent: "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n\(String(repeating: "x", count: 300))"),
        Deadline(
            point: "in a chunked body", seconds: 7 + 3,
            sent: "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n"
                + String(repeating: "x", count: 300)),
        Deadline(
            point: "in a body thrown away", seconds: 7 + 3,
            sent: "POST /none HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n\(String(repeating: "x", count: 300))"),
        Deadline(point: "between requests", seconds: 9, sent: TestClient.text("GET", "/echo")),
        Deadline(
            point: "in the headers of a second request", seconds: 5,
            sent: TestClient.text("GET", "/echo") + "GET /echo HTTP/1.1\r\nHost: t\r\n"),
    ])
    func aConnectionPastItsDeadlineIsCutAndNotBefore(_ deadline: Deadline) throws {
        let server = try TestServer { limits in
            limits.headerDeadlineSeconds = 5
            limits.bodyDeadlineSeconds = 7
            limits.bodyRateBytesMin = 100
            limits.idleTimeoutSeconds = 9
        }
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send(deadline.sent)
        if deadline.sent.hasPrefix("GET") { _ = try client.readResponse() }
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 1 })
        server.advance(seconds: deadline.seconds)
        #expect(client.hasNothingToRead())
        server.advance(seconds: 1)
        #expect(client.readsEnd())
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 && $0.frontEnd.isIdle })
        #expect(server.onLoop { $0.handler.handledTargets.allSatisfy { $0 == "/echo" } })
    }

    /// libmicrohttpd misses the end of a connection that comes together with the last bytes.
    @Test(arguments: ["", "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nx", "POST /echo HTTP/1.1\r\n"])
    func aClientThatLeavesTogetherWithItsLastBytesIsNoticedWithinTwoSeconds(_ sent: String) throws {
        let frontEnd = try HTTPFrontEnd(address: "127.0.0.1:0", handler: TestHandler())
        func run(at now: UInt64) {
            repeat { frontEnd.run(nowMicroseconds: now) } while frontEnd.mustRunAgain
        }
        let client = try TestClient(port: frontEnd.listeningPort)
        run(at: 0)
        client.send(TestClient.text("GET", "/echo"))
        run(at: 0)
        #expect(try client.readResponse().status == 200)
        client.send(sent.isEmpty ? TestClient.text("GET", "/echo") : sent)
        client.endSending()
        run(at: 0)
        for _ in 0..<HTTPLimits.ticksPerPass { frontEnd.tick(nowMicroseconds: 2_000_000) }
        run(at: 2_000_000)
        #expect(frontEnd.connectionCount == 0)
        #expect(frontEnd.isIdle)
        frontEnd.stop()
    }

    @Test func aClientThatDoesNotReadItsAnswerIsCut() throws {
        let server = try TestServer { limits in
            limits.idleTimeoutSeconds = 9
            limits.bodyRateBytesMin = 1 << 20
        }
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("GET", "/large")
        #expect(server.waitUntil { $0.handler.handledTargets.count == 1 })
        server.advance(seconds: 9 + 8)
        #expect(server.onLoop { $0.frontEnd.connectionCount } == 1)
        server.advance(seconds: 1)
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 && $0.frontEnd.isIdle })
    }

    @Test(arguments: ["/poll", "/later", "/suspend"])
    func aConnectionThatWaitsForACommitIsNeverCut(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("POST", target, body: "x")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        for _ in 0..<3 { server.advance(seconds: 1_000_000) }
        server.commit()
        #expect(try client.readResponse().status == 201)
    }

    @Test func everyOverdueConnectionIsFoundWithinOnePass() throws {
        let server = try TestServer { $0.headerDeadlineSeconds = 5 }
        defer { server.stop() }
        let clients = try (0..<37).map { _ in try TestClient(port: server.port) }
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 37 })
        server.advance(seconds: 6)
        for client in clients { #expect(client.readsEnd()) }
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 0 })
    }

    // MARK: Drain and stop

    @Test func aDrainAnswersWhatIsOpenAndClosesTheRest() throws {
        let server = try TestServer()
        defer { server.stop() }
        let idle = try TestClient(port: server.port)
        idle.request("POST", "/echo", body: "x")
        _ = try idle.readResponse()
        let silent = try TestClient(port: server.port)
        let inBody = try TestClient(port: server.port)
        inBody.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nab")
        let waiting = try ["/poll", "/later", "/suspend"].map { target in
            let client = try TestClient(port: server.port)
            client.request("POST", target, body: target)
            return client
        }
        #expect(server.waitUntil { $0.handler.waiting.count == 3 && $0.frontEnd.receivingBytes > 0 })
        #expect(server.waitUntil { $0.frontEnd.connectionCount == 6 })

        server.onLoop { $0.frontEnd.beginDrain() }
        #expect(idle.readsEnd())
        #expect(silent.readsEnd())
        #expect(throws: TestClient.Failure.self) { try TestClient(port: server.port) }
        #expect(server.onLoop { !$0.frontEnd.isIdle })

        inBody.send("cd")
        let late = try inBody.readResponse()
        #expect(late.text == "abcd")
        #expect(late.headers["connection"] == "close")
        #expect(inBody.readsEnd())
        server.commit()
        for client in waiting {
            let response = try client.readResponse()
            #expect(response.status == 201)
            #expect(response.headers["connection"] == "close")
            #expect(client.readsEnd())
        }
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
    }

    @Test func aConnectionWhoseAnswerWasUnderWayWhenTheDrainBeganIsClosedAfterIt() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("GET", "/large")
        #expect(server.waitUntil { $0.handler.handledTargets.count == 1 })
        server.onLoop { $0.frontEnd.beginDrain() }
        let response = try client.readResponse()
        #expect(response.headers["connection"] == nil)
        #expect(response.body.count == 8 << 20)
        #expect(client.readsEnd())
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
    }

    @Test func aStopAbandonsWhatWaitsAndSendsWhatIsAnswered() throws {
        let server = try TestServer()
        let answered = try (0..<3).map { _ in
            let client = try TestClient(port: server.port)
            client.request("POST", "/later", body: "answered")
            return client
        }
        #expect(server.waitUntil { $0.handler.waiting.count == 3 })
        let abandoned = try ["/poll", "/later", "/suspend"].map { target in
            let client = try TestClient(port: server.port)
            client.request("POST", target, body: target)
            return client
        }
        #expect(server.waitUntil { $0.handler.waiting.count == 6 })
        server.advance(microseconds: 2_000)
        server.onLoop { state in
            for exchange in state.handler.waiting[..<3] {
                exchange.respond(HTTPResponse(status: 201, body: "answered"))
            }
            state.frontEnd.stop()
        }
        for client in answered { #expect(try client.readResponse().text == "answered") }
        for client in abandoned { #expect(client.readsEnd()) }
        #expect(server.onLoop { $0.handler.abandonedCount } == 3)
        #expect(server.onLoop { $0.frontEnd.openExchangeCount } == 3)
        server.onLoop { state in
            for exchange in state.handler.waiting where exchange.isClientGone { exchange.release() }
        }
        #expect(server.onLoop { $0.frontEnd.isIdle })
        server.stop()
    }

    @Test func anExchangeServesOneRequestAfterAnother() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        var seen: Set<ObjectIdentifier> = []
        for _ in 0..<20 {
            client.request("POST", "/later", body: "x")
            #expect(server.waitUntil { $0.handler.waiting.count == 1 })
            #expect(server.onLoop { $0.handler.waiting[0].attachment == nil })
            seen.insert(
                server.onLoop { state in
                    state.handler.waiting[0].attachment = state.handler
                    return ObjectIdentifier(state.handler.waiting[0])
                })
            server.commit()
            _ = try client.readResponse()
        }
        #expect(seen.count == 1)
    }
}
