/// Every limit of the front end, with its unit and the reason for its default.
public struct HTTPLimits: Sendable {
    /// Largest body that is ever kept; a request's own limit may be lower. 1 MiB record + 64 KiB of framing.
    public var requestBodyBytesMax = 1_114_112
    /// Largest unwanted body that is read and thrown away so that the client can read its answer. Beyond it a body
    /// with Content-Length is refused before it is read, and a chunked one loses its connection.
    public var drainBytesMax = 4_194_304
    /// Longest request target (path and query). Must fit `connectionMemoryBytes` together with all header lines.
    public var targetBytesMax = 2_048
    /// Connections that are served; the next `connectionsRefusedMax` get a 503, the rest wait in the backlog.
    public var connectionsMax = 1_000
    /// Connections above `connectionsMax` that are accepted only to be told 503.
    public var connectionsRefusedMax = 64
    /// Total of all bodies held in memory, from their first byte until the service lets go of them.
    public var receivingBytesMax = 67_108_864
    /// libmicrohttpd's memory of one connection: header lines, and half of it as read buffer. All of it is zeroed
    /// after each request, so more costs speed (measured: 128 KiB halves it).
    public var connectionMemoryBytes = 8_192
    /// From the accepted connection, or from the request line of a later request, to the end of its headers.
    public var headerDeadlineSeconds = 10
    /// Time for a body however short, to which `bodyRateBytesMin` adds the time that its bytes deserve.
    public var bodyDeadlineSeconds = 30
    /// Bytes per second below which a body sent, or an answer read, is cut once its deadline has passed.
    public var bodyRateBytesMin = 1_024
    /// How long a connection may stay open between requests, and the time for an answer to be read however short.
    public var idleTimeoutSeconds = 75

    /// The defaults.
    public init() {}

    /// Throws where the limits contradict each other.
    public func check() throws(HTTPFrontEndError) {
        if let fault { throw .invalidLimit(fault) }
    }

    /// What is wrong with the limits, in a phrase; nil if nothing is.
    var fault: String? {
        let counts = [
            requestBodyBytesMax, drainBytesMax, connectionsMax, bodyRateBytesMin, headerDeadlineSeconds,
            bodyDeadlineSeconds, idleTimeoutSeconds,
        ]
        if counts.contains(where: { $0 < 1 }) || connectionsRefusedMax < 0 {
            return "sizes, counts, rates and times must be at least 1"
        }
        if receivingBytesMax < requestBodyBytesMax {
            return "receivingBytesMax (\(receivingBytesMax)) must admit one body of requestBodyBytesMax "
                + "(\(requestBodyBytesMax))"
        }
        if targetBytesMax < 1 || targetBytesMax * 2 > connectionMemoryBytes {
            return "connectionMemoryBytes (\(connectionMemoryBytes)) must be at least twice targetBytesMax "
                + "(\(targetBytesMax))"
        }
        return nil
    }

    /// Refusals of surplus connections in a second: each costs the loop about 50 µs with its connection, which those who are served
    /// would not have. Up to `surplusRefusalsAtOnce` are given at once; the rest waits, and new connections in the backlog.
    static let surplusRefusalsPerSecond: UInt64 = 3_000
    static let surplusRefusalsAtOnce: UInt64 = 64
    /// A waiting exchange that has been asked again for this long suspends itself: a stalled disk then costs
    /// nothing, while commits (0.1–1 ms on the disks measured) never get there.
    static let retryMicrosecondsMax: UInt64 = 2_000
    /// Rounds of libmicrohttpd in one `run`: one queues answers, one sends them, one reads what clients sent next.
    static let roundsPerRunMax = 3
    /// Rounds without any progress after which only an event or the next tick starts another. Headers come in without a
    /// call of ours, but fill libmicrohttpd's buffer in fewer rounds than this.
    static let idleRoundsMax = 64
    /// libmicrohttpd accepts at most 11 connections a round; from 10 on there may be more.
    static let acceptedPerRoundMax = 10
    /// Body buffers up to this size stay with the pooled exchange; larger ones are freed after use.
    static let keptBodyBytesMax = 16_384
    /// Bytes that one stream sends before the next one has its turn: a quarter of a millisecond over loopback.
    static let streamBytesPerTurn = 512 << 10
    /// Microseconds after which a `run` lets no further stream send: a small piece takes 3 to 5, one that the source has to
    /// read and encode 500.
    static let streamMicrosecondsPerRun = 250
    /// Changes of streams' sockets that one `run` takes.
    static let socketEventsMax = 256
    /// What a client sent behind the request of a stream is thrown away at the end, up to so many blocks of 4 KiB.
    static let unreadBlocksMax = 64
    /// One pass over all connections takes this many ticks, so a deadline is noticed up to 1 s late.
    static let ticksPerPass = 10
    /// Pending connections the kernel holds; it lowers this to net.core.somaxconn (4,096) if that is less.
    static let backlogConnectionsMax: Int32 = 4_096
}
