/// All open connections. Deadlines are looked at in slices, so that a tick stays short with many connections.
struct ConnectionTable {
    private var connections: [TrackedConnection] = []
    /// Where the next slice begins.
    private var cursor = 0

    var count: Int {
        connections.count
    }

    mutating func add(_ connection: TrackedConnection) {
        connection.index = connections.count
        connections.append(connection)
    }

    /// Removes a connection; the last one takes its place and may be looked at one pass later.
    mutating func remove(_ connection: TrackedConnection) {
        let last = connections.removeLast()
        guard last !== connection else { return }
        last.index = connection.index
        connections[connection.index] = last
    }

    /// Cuts the overdue connections of the next slice, and those whose client has gone unnoticed. Returns the suspended
    /// requests whose client has gone: libmicrohttpd does not look at those.
    mutating func cutOverdue(now: UInt64, limits: HTTPLimits) -> [Exchange] {
        var lost: [Exchange] = []
        let slice = (connections.count + HTTPLimits.ticksPerPass - 1) / HTTPLimits.ticksPerPass
        for _ in 0..<slice {
            if cursor >= connections.count { cursor = 0 }
            let connection = connections[cursor]
            if connection.isOverdue(now: now, limits: limits) || connection.isLeftByClient(now: now) {
                connection.cut()
            } else if let exchange = unsafe connection.exchange, exchange.isSuspended, connection.isOver {
                lost.append(exchange)
            }
            cursor += 1
        }
        return lost
    }

    /// Cuts the connections that are between requests.
    func cutIdle() {
        for connection in connections where connection.isBetweenRequests {
            connection.cut()
        }
    }
}
