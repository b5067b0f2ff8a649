/// What becomes of the body of a request whose headers have arrived.
public enum Admission: Sendable {
    /// Read the body into memory, then call `handle`. A longer body is refused with 413; the front end's own
    /// `requestBodyBytesMax` holds as well.
    case receive(bodyBytesMax: Int)
    /// The body is not wanted: read and forget it, then call `handle` with an empty one.
    case discard
    /// `respond` was called. The body, if any, is read and forgotten first so that the connection lives on, unless
    /// the client waits for "100 Continue" or the body is beyond `drainBytesMax`.
    case answered
}

/// What an exchange does next.
public enum Step: Sendable {
    /// `respond` was called.
    case answered
    /// Call `poll` again in every run. After 2 ms the exchange suspends itself and is asked again only after
    /// `resumeWaiting`. For waits that a commit ends.
    case wait
    /// Do nothing until `respond` or `stream` is called. For waits of unknown length.
    case suspend
    /// `stream` was called.
    case streaming
}

/// What the front end asks of the service. Subclass it and override; all calls come from the thread that runs the
/// front end, from within `run` or `stop`.
open class RequestHandler {
    public init() {}

    /// The headers of a request are there and well-formed; its body is not.
    open func admit(_ exchange: Exchange) -> Admission {
        .discard
    }

    /// The whole body has arrived. Never called for a body that did not arrive whole.
    open func handle(_ exchange: Exchange) -> Step {
        preconditionFailure("a handler overrides handle")
    }

    /// Asked again after `.wait`, once in each run, until it answers. Not called once `respond` was called.
    open func poll(_ exchange: Exchange) -> Step {
        .wait
    }

    /// The client has gone while its exchange was waiting. The exchange stays as it is, with no client, until
    /// `exchange.release()`: call that here, or when what it waited for is done.
    open func abandoned(_ exchange: Exchange) {
        exchange.release()
    }
}
