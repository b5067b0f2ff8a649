import Testing

@testable import HTTPFrontEnd

struct SurplusRefusalsTests {
    private let second: UInt64 = 1_000_000

    @Test func afterALongQuietOnlyABurstIsGivenAtOnce() {
        var refusals = SurplusRefusals()
        for start: UInt64 in [0, 100_000_000, .max / 2] {
            var given: UInt64 = 0
            while refusals.take(now: start) { given += 1 }
            #expect(given == HTTPLimits.surplusRefusalsAtOnce)
        }
    }

    @Test(arguments: [1, 7, 100, 333, 10_000] as [UInt64])
    func inTheLongRunSoManyAreGivenASecond(step: UInt64) {
        var refusals = SurplusRefusals()
        var given: UInt64 = 0
        let seconds: UInt64 = 5
        for now in stride(from: 0, to: seconds * second, by: Int(step)) {
            while refusals.take(now: now) { given += 1 }
        }
        let most = seconds * HTTPLimits.surplusRefusalsPerSecond + HTTPLimits.surplusRefusalsAtOnce
        #expect(given <= most && given + HTTPLimits.surplusRefusalsAtOnce >= most)
    }

    @Test func aMicrosecondIsNotLost() {
        var refusals = SurplusRefusals()
        while refusals.take(now: 0) {}
        let interval = second / HTTPLimits.surplusRefusalsPerSecond
        var early = 0
        for now in 1...interval where refusals.take(now: now) { early += 1 }
        let isInTime = refusals.take(now: interval + 1)
        #expect(early == 0 && isInTime)
    }

    // MARK: On connections; the clock stands still

    private func crowdedServer() throws -> (server: TestServer, served: TestClient) {
        let server = try TestServer { $0.connectionsMax = 1 }
        let served = try TestClient(port: server.port)
        served.request("GET", "/hello")
        _ = try served.readResponse()
        for _ in 0..<HTTPLimits.surplusRefusalsAtOnce {
            let surplus = try TestClient(port: server.port)
            surplus.request("POST", "/echo", body: "x")
            let response = try surplus.readResponse()
            #expect(response.status == 503 && surplus.readsEnd())
        }
        return (server, served)
    }

    @Test(arguments: ["", "with a body"])
    func theOneBehindABurstIsAnsweredWhenItIsItsTurn(body: String) throws {
        let (server, served) = try crowdedServer()
        defer { server.stop() }
        let surplus = try TestClient(port: server.port)
        surplus.request("POST", "/echo", body: body)
        #expect(server.waitUntil { $0.frontEnd.openExchangeCount == 1 })
        for _ in 0..<10 { server.advance(microseconds: 30) }
        #expect(server.onLoop { $0.frontEnd.openExchangeCount } == 1)
        #expect(server.onLoop { $0.frontEnd.waitingExchanges(nowMicroseconds: 2_000_000).count } == 0)
        // Who is served is not held up by it.
        served.request("POST", "/echo", body: "meanwhile")
        #expect(try served.readResponse().text == "meanwhile")
        server.advance(microseconds: 100)
        let response = try surplus.readResponse()
        #expect(response.status == 503 && response.code == "overloaded" && surplus.readsEnd())
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    @Test func oneThatLeavesBeforeItsTurnLeavesNothing() throws {
        let (server, served) = try crowdedServer()
        defer {
            server.stop()
            served.disconnect()
        }
        let surplus = try TestClient(port: server.port)
        surplus.request("POST", "/echo", body: "x")
        #expect(server.waitUntil { $0.frontEnd.openExchangeCount == 1 })
        surplus.disconnect()
        server.advance(microseconds: 400)
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 1 })
    }

    @Test func aStopEndsThoseThatWaitForTheirTurn() throws {
        let (server, served) = try crowdedServer()
        defer { served.disconnect() }
        let surplus = try TestClient(port: server.port)
        surplus.request("POST", "/echo", body: "x")
        #expect(server.waitUntil { $0.frontEnd.openExchangeCount == 1 })
        server.stop()
        #expect(surplus.readsEnd())
    }

    @Test func aLargeBodyIsNotReadToBeRefused() throws {
        let (server, served) = try crowdedServer()
        defer {
            server.stop()
            served.disconnect()
        }
        let surplus = try TestClient(port: server.port)
        surplus.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
        #expect(try surplus.readResponse().status == 503)
    }
}
