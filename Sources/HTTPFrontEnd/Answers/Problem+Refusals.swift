/// The refusals that need no service.
extension Problem {
    /// Two ways to tell where the body ends: the start of request smuggling (RFC 9112, 6.3).
    static let ambiguousLength = Problem(
        status: 400, code: "ambiguous_length", title: "Ambiguous body length",
        detail: "The request has more than one Content-Length, or a Content-Length beside a Transfer-Encoding, or a "
            + "Transfer-Encoding in HTTP/1.0. Send exactly one of them.")

    /// RFC 9112, 3.2: one Host in every HTTP/1.1 request.
    static let invalidHost = Problem(
        status: 400, code: "invalid_host", title: "Host missing or repeated",
        detail: "An HTTP/1.1 request carries exactly one Host header.")

    /// RFC 9112, 2.2 and 5.1: no white space before the colon, no line break but CR LF; a proxy might see another header than
    /// we do.
    static let invalidHeader = Problem(
        status: 400, code: "invalid_header", title: "Malformed header",
        detail: "A header name is empty or contains white space, a control character or a byte above 126, or a header "
            + "contains a control character, or goes on in the next line, or does not end with CR LF.")

    /// A NUL, a space or another control character in the target, or more than one space beside it (RFC 9112, 3).
    static let invalidTarget = Problem(
        status: 400, code: "invalid_target", title: "Malformed request target",
        detail: "The request target contains a space, a NUL or another control character, or more than one space is "
            + "beside it. Encode it as %XX.")

    /// RFC 9112, 6.1: a server that does not understand a transfer coding answers 501.
    static let unknownTransferCoding = Problem(
        status: 501, code: "unknown_transfer_coding", title: "Unknown transfer coding",
        detail: "The only transfer coding understood is chunked, sent once.")

    static func targetTooLong(bytesMax: Int) -> Problem {
        Problem(
            status: 414, code: "target_too_long", title: "Request target too long",
            detail: "The request target is longer than \(bytesMax) bytes.")
    }

    static func bodyTooLarge(bytesMax: Int) -> Problem {
        Problem(
            status: 413, code: "body_too_large", title: "Request body too large",
            detail: "The request body is longer than \(bytesMax) bytes. Send the records in several requests.")
    }

    /// Bodies being received use all the memory they may.
    static let overloadedByBodies = Problem(
        status: 503, code: "overloaded", title: "Overloaded",
        detail: "Too many bytes of request bodies are being received at the moment. Send the request again later.",
        retryable: true, retryAfterSeconds: 1)

    /// More connections than are served.
    static let overloadedByConnections: Problem = {
        var problem = Problem(
            status: 503, code: "overloaded", title: "Overloaded",
            detail: "Too many connections are open at the moment. Connect again later.",
            retryable: true, retryAfterSeconds: 1)
        problem.closeConnection = true
        return problem
    }()
}
