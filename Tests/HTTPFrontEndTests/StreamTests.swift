import Testing

@testable import HTTPFrontEnd

/// Answers of unknown length.
@Suite struct StreamTests {
    private func piece(_ text: String) -> SharedBytes {
        SharedBytes(copying: Array(text.utf8))
    }

    /// A client whose stream has begun, and its head.
    private func begin(
        _ server: TestServer, _ target: String = "/stream", method: String = "GET", headers: [String] = []
    ) throws -> (client: TestClient, head: String) {
        let client = try TestClient(port: server.port)
        let count = server.onLoop { $0.handler.sources.count }
        client.request(method, target, headers: headers)
        if target == "/stream/later" {
            #expect(server.waitUntil { $0.handler.waiting.count == 1 })
            server.commit()
        }
        #expect(server.waitUntil { $0.handler.sources.count == count + 1 })
        return (client, try client.readHeadText())
    }

    @Test(arguments: ["/stream", "/stream/later"])
    func piecesArriveWhenTheyAreGivenAndTheEndIsAnEnd(_ target: String) throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, head) = try begin(server, target)
        #expect(head.hasPrefix("HTTP/1.1 200 OK\r\nDate: "))
        #expect(head.contains(" GMT\r\nContent-Type: text/plain\r\n"))
        #expect(head.contains("\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"))
        for number in 0..<3 {
            #expect(client.hasNothingToRead())
            server.onLoop { $0.handler.sources[0].push(self.piece("piece \(number)")) }
            #expect(try client.readChunk() == Array("piece \(number)".utf8))
        }
        server.onLoop { $0.handler.sources[0].end() }
        #expect(try client.readChunk().isEmpty)
        #expect(client.readsEnd())
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
        #expect(server.onLoop { $0.handler.sources[0].endings } == [.finished])
        #expect(server.onLoop { $0.handler.abandonedCount } == 0)
    }

    @Test func aClientOfHTTP10GetsTheBytesWithoutChunks() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.send("GET /stream HTTP/1.0\r\n\r\n")
        #expect(server.waitUntil { $0.handler.sources.count == 1 })
        #expect(try !client.readHeadText().contains("chunked"))
        server.onLoop { state in
            state.handler.sources[0].push(self.piece("one "))
            state.handler.sources[0].push(self.piece("two"))
            state.handler.sources[0].end()
        }
        #expect(String(decoding: client.readRest(), as: UTF8.self) == "one two")
    }

    @Test func aHEADGetsTheHeadAndAsksForNothing() throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, head) = try begin(server, method: "HEAD")
        #expect(head.contains("Transfer-Encoding: chunked"))
        #expect(client.readsEnd())
        #expect(server.onLoop { $0.handler.sources[0].askedCount } == 0)
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    @Test func anAbortedAnswerHasNoLastChunk() throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, _) = try begin(server)
        server.onLoop { state in
            state.handler.sources[0].push(self.piece("half"))
            state.handler.sources[0].end(.abort)
        }
        #expect(try client.readChunk() == Array("half".utf8))
        #expect(client.readRest().isEmpty)
        #expect(server.onLoop { $0.handler.sources[0].endings } == [.cut])
    }

    @Test func manyClientsReadTheSamePiece() throws {
        let server = try TestServer()
        defer { server.stop() }
        let clients = try (0..<300).map { _ in try begin(server).client }
        let large = [UInt8](repeating: 0x61, count: 100_000)
        server.onLoop { state in
            let shared = SharedBytes(copying: large)
            for source in state.handler.sources {
                source.push(shared)
                source.end()
            }
        }
        for client in clients {
            #expect(try client.readChunk() == large)
            #expect(try client.readChunk().isEmpty)
        }
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    // MARK: Clients that do not read

    /// Pushes pieces until the client's stream is blocked; the number of pieces.
    private func block(_ server: TestServer) -> Int {
        var pushed = 0
        let shared = SharedBytes(copying: [UInt8](repeating: 0x61, count: 1 << 20))
        while server.onLoop({ $0.handler.sources[0].stream?.isBlocked != true }), pushed < 100 {
            server.onLoop { $0.handler.sources[0].push(shared) }
            pushed += 1
        }
        return pushed
    }

    @Test func aSourceIsNotAskedForAClientThatDoesNotRead() throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, _) = try begin(server)
        let pushed = block(server)
        let askedCount = server.onLoop { $0.handler.sources[0].askedCount }
        server.onLoop { state in
            state.handler.sources[0].push(self.piece("last"))
            state.handler.sources[0].end()
        }
        #expect(server.onLoop { $0.handler.sources[0].askedCount } == askedCount)
        for _ in 0..<pushed { #expect(try client.readChunk().count == 1 << 20) }
        #expect(try client.readChunk() == Array("last".utf8))
        #expect(try client.readChunk().isEmpty)
    }

    @Test func aClientThatReadsNothingForTheIdleTimeIsCut() throws {
        let server = try TestServer { $0.idleTimeoutSeconds = 20 }
        defer { server.stop() }
        let (client, _) = try begin(server)
        _ = block(server)
        // The first look may find that the client's kernel has taken more meanwhile.
        for _ in 0..<3 { server.advance(seconds: 21) }
        #expect(server.waitUntil { $0.handler.sources[0].endings == [.cut] })
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
        client.discardRest()
    }

    @Test func aStreamThatHasNothingToSendIsNotCut() throws {
        let server = try TestServer { $0.idleTimeoutSeconds = 20 }
        defer { server.stop() }
        let (client, _) = try begin(server)
        for _ in 0..<10 { server.advance(seconds: 1_000) }
        server.onLoop { $0.handler.sources[0].push(self.piece("late")) }
        #expect(try client.readChunk() == Array("late".utf8))
    }

    // MARK: Clients that leave

    @Test func aResetIsNoticedAtOnce() throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, _) = try begin(server)
        client.reset()
        #expect(server.waitUntil { $0.handler.sources[0].endings == [.cut] })
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
    }

    @Test func aClientThatHasClosedIsNoticedByTheNextBytes() throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, _) = try begin(server)
        client.disconnect()
        #expect(server.waitUntil { $0.handler.sources[0].endedSendingCount == 1 })
        #expect(server.onLoop { $0.handler.sources[0].endings } == [])
        server.onLoop { $0.handler.sources[0].push(self.piece("are you there")) }
        #expect(server.waitUntil { $0.handler.sources[0].endings == [.cut] })
        #expect(server.waitUntil { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 })
    }

    @Test func aClientThatOnlyEndsSendingGetsItsAnswer() throws {
        let server = try TestServer()
        defer { server.stop() }
        let (client, _) = try begin(server)
        client.endSending()
        #expect(server.waitUntil { $0.handler.sources[0].endedSendingCount == 1 })
        for number in 0..<3 {
            server.onLoop { $0.handler.sources[0].push(self.piece("piece \(number)")) }
            #expect(try client.readChunk() == Array("piece \(number)".utf8))
        }
        #expect(server.onLoop { $0.handler.sources[0].endedSendingCount } == 1)
    }

    @Test func aResetOfASuspendedRequestIsNoticedByTheTick() throws {
        let server = try TestServer()
        defer { server.stop() }
        let client = try TestClient(port: server.port)
        client.request("GET", "/suspend")
        #expect(server.waitUntil { $0.handler.waiting.count == 1 })
        client.reset()
        server.advance(seconds: 1)
        #expect(server.waitUntil { $0.handler.abandonedCount == 1 })
        server.commit()
        #expect(server.waitUntil { $0.frontEnd.isIdle })
    }

    @Test func stoppingCutsStreams() throws {
        let server = try TestServer()
        let (client, _) = try begin(server)
        let source = server.onLoop { $0.handler.sources[0] }
        server.stop()
        #expect(source.endings == [.cut])
        #expect(client.readRest().isEmpty)
    }

    @Test func theBytesOfAPieceAreCountedWhileItLives() {
        let gauge = MemoryGauge()
        do {
            let piece = SharedBytes(capacity: 10, gauge: gauge)
            #expect(gauge.bytes == 10)
            [UInt8](repeating: 1, count: 50).withUnsafeBytes { piece.append($0) }
            #expect(gauge.bytes == 50 && piece.count == 50)
        }
        #expect(gauge.bytes == 0)
    }
}
