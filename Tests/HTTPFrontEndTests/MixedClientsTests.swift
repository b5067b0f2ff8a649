import Glibc
import Testing

@testable import HTTPFrontEnd

/// SplitMix64: the same seed gives the same clients.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

@Suite struct MixedClientsTests {
    /// Clients that come, send whole or half requests, go orderly or not, while commits and time pass at random.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func afterAnyMixOfClientsNothingIsLeftOpen(_ seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        let server = try TestServer { limits in
            limits.connectionsMax = 20
            limits.connectionsRefusedMax = 4
            limits.requestBodyBytesMax = 20_000
            limits.receivingBytesMax = 60_000
            limits.drainBytesMax = 40_000
        }
        defer { server.stop() }
        var clients: [TestClient] = []
        for _ in 0..<600 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0, 1, 2:
                if clients.count < 24 { clients.append(try TestClient(port: server.port)) }
            case 3, 4, 5, 6:
                guard let client = clients.randomElement(using: &random) else { continue }
                let request = Self.request(&random)
                let part = Int.random(in: 0..<4, using: &random) == 0 ? request.count / 2 : request.count
                client.send(request.prefix(part))
            case 7:
                guard let index = clients.indices.randomElement(using: &random) else { continue }
                clients.remove(at: index).reset()
            case 8:
                guard let index = clients.indices.randomElement(using: &random) else { continue }
                clients.remove(at: index).disconnect()
            case 9:
                server.advance(microseconds: UInt64.random(in: 0..<3_000, using: &random))
            case 10:
                server.advance(seconds: UInt64.random(in: 0..<12, using: &random))
            default:
                server.commit()
            }
        }
        clients.removeAll()
        // Deadlines (10 s and more) do not come into it, only the look at silent connections after 1 s.
        var isOver = false
        for _ in 0..<4 where !isOver {
            for _ in 0..<100 {
                server.commit()
                usleep(100)
            }
            server.advance(seconds: 2)
            isOver = server.onLoop { $0.frontEnd.isIdle && $0.frontEnd.connectionCount == 0 }
        }
        #expect(isOver)
        #expect(server.onLoop { $0.frontEnd.receivingBytes } == 0)
        #expect(server.onLoop { $0.handler.waiting.isEmpty })
        let client = try TestClient(port: server.port)
        client.request("POST", "/echo", body: "after")
        #expect(try client.readResponse().text == "after")
    }

    private static func request(_ random: inout SeededGenerator) -> [UInt8] {
        let targets = ["/echo", "/poll", "/later", "/suspend", "/limit", "/discard", "/close", "/none", "/large"]
        let target = targets.randomElement(using: &random)!
        let size = [0, 1, 100, 101, 5_000, 19_000, 21_000].randomElement(using: &random)!
        let body = String(repeating: "b", count: size)
        if Bool.random(using: &random) { return Array(TestClient.text("POST", target, body: body).utf8) }
        let chunk = size == 0 ? "" : "\(String(size, radix: 16))\r\n\(body)\r\n"
        return Array("POST \(target) HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)0\r\n\r\n".utf8)
    }
}
