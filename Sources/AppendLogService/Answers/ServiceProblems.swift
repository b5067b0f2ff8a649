import HTTPFrontEnd
import LogFormat

/// Every problem that the service answers with. Those of HTTP itself are the front end's; openapi.yaml lists both.
extension Problem {
    // MARK: Targets

    static let notFound = Problem(
        status: 404, code: "not_found", title: "Not found",
        detail: "There is nothing at this path. GET /openapi.yaml describes what there is.")

    static let methodNotAllowed = Problem(
        status: 405, code: "method_not_allowed", title: "Method not allowed",
        detail: "This path does not take this method; the Allow header lists those it takes.")

    static let invalidLogName = Problem(
        status: 400, code: "invalid_log_name", title: "Invalid log name",
        detail:
            "A log's name is 1 to 128 of A-Z a-z 0-9 . _ - and does not start with a dot. It is taken as it is sent, "
            + "without percent-decoding.")

    static let invalidOffset = Problem(
        status: 400, code: "invalid_offset", title: "Invalid offset",
        detail: "A record's offset is a decimal number from 0 to 18446744073709551615.")

    static func invalidQuery(_ error: QueryError) -> Problem {
        Problem(status: 400, code: "invalid_query", title: "Invalid query", detail: error.detail)
    }

    static let notAcceptable = Problem(
        status: 406, code: "not_acceptable", title: "Not acceptable",
        detail: "Records are given as application/x-ndjson, application/vnd.appendlog.records or "
            + "application/octet-stream, and Accept takes none of them.")

    static let logNotFound = Problem(
        status: 404, code: "log_not_found", title: "Log not found", detail: "There is no log of this name.")

    static let recordNotFound = Problem(
        status: 404, code: "record_not_found", title: "Record not found",
        detail: "The log has no record at this offset: it is at or behind the tail.")

    // MARK: Appends

    static let emptyBody = Problem(
        status: 400, code: "empty_body", title: "No record in the body",
        detail: "The body has no record. As a single record a body has at least one byte; in the framed form a record "
            + "may be empty.")

    static func malformedRecords(atByte place: Int) -> Problem {
        Problem(
            status: 400, code: "malformed_records", title: "Malformed records",
            detail: "The record that begins at byte \(place) of the body is cut off: a little-endian 32-bit length and "
                + "as many bytes were expected.")
    }

    static func recordTooLarge(index: Int, bytes: Int, bytesMax: Int) -> Problem {
        Problem(
            status: 413, code: "record_too_large", title: "Record too large",
            detail: "Record \(index) of the body, counted from 0, has \(bytes) bytes; a record has at most \(bytesMax)."
        )
    }

    static func tooManyRecords(countMax: Int) -> Problem {
        Problem(
            status: 413, code: "too_many_records", title: "Too many records",
            detail: "The body has more than \(countMax) records. Send them in several requests.")
    }

    static let overloadedByPending = Problem(
        status: 503, code: "overloaded", title: "Overloaded",
        detail: "Too many bytes wait for the disk at the moment. Send the request again later.",
        retryable: true, retryAfterSeconds: 1)

    static let draining = Problem(
        status: 503, code: "draining", title: "Stopping",
        detail: "The server is stopping and takes no more appends. Send the request again when it is back.",
        retryable: true, retryAfterSeconds: 1)

    /// A write or sync failed before this append was staged.
    static let logPoisoned = Problem(
        status: 503, code: "log_poisoned", title: "Write-ahead log failed",
        detail: "A write to the disk failed, and the server takes no more appends until it is started anew. Nothing of "
            + "this request was written.",
        retryable: true)

    /// A write or sync failed with this append in it, or before it.
    static let logPoisonedWhileWaiting = Problem(
        status: 503, code: "log_poisoned", title: "Write-ahead log failed",
        detail: "A write to the disk failed while this request waited for it. When the server is back its records may "
            + "be there, all of them, or not at all: look before sending them again.",
        retryable: true, sideEffects: .unknown)

    static let diskFull = Problem(
        status: 507, code: "disk_full", title: "No room on the disk",
        detail: "The disk has no room for another segment of the write-ahead log. Nothing was appended.",
        retryable: true)

    // MARK: Reads

    static let recordDamaged = Problem(
        status: 500, code: "record_damaged", title: "Record damaged",
        detail: "A record in the answer is not on the disk as it was written, so none is given. Records before and "
            + "behind it can be read with other offsets.")

    /// A repair could not keep what was here.
    static func recordsLost(next: RecordOffset) -> Problem {
        Problem(
            status: 410, code: "records_lost", title: "Records lost",
            detail:
                "The records from this offset on were lost by damage of the disk, and the data directory was repaired "
                + "without them. The log goes on at offset \(next).")
    }

    /// Retention or a trim has removed what was here.
    static func offsetTrimmed(first: RecordOffset) -> Problem {
        var problem = Problem(
            status: 410, code: "offset_trimmed", title: "Records trimmed",
            detail: "The records from this offset on are no longer kept. The first one that is has offset \(first).")
        problem.members = [("first", first.rawValue)]
        problem.headers = [("First-Available-Offset", "\(first)")]
        return problem
    }

    /// The URL is of another log, whose name this one has now.
    static func logReplaced(id: LogID) -> Problem {
        var problem = Problem(
            status: 404, code: "log_replaced", title: "Log replaced",
            detail: "The log of this name does not have the id that log_id says: it is another one, with the id \(id).")
        problem.members = [("id", id.rawValue)]
        return problem
    }

    static let recordUnreadable = Problem(
        status: 500, code: "record_damaged", title: "Record unreadable",
        detail: "The disk could not read a record of the answer, so none is given.", retryable: true)

    static let overloadedByReads = Problem(
        status: 503, code: "overloaded", title: "Overloaded",
        detail:
            "Too many bytes of answers wait for the disk or for their clients at the moment. Send the request again "
            + "later.",
        retryable: true, retryAfterSeconds: 1)

    static let notReady = Problem(
        status: 503, code: "not_ready", title: "Not ready",
        detail: "The server is stopping, or a write to its disk failed: it takes no appends.",
        retryable: true, retryAfterSeconds: 1)
}
