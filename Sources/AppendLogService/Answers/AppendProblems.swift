import HTTPFrontEnd
import LogFormat

/// The problems of producers, keys, conditions, closed logs and rates.
extension Problem {
    static func invalidAppendHeaders(_ error: InvalidAppendHeaders) -> Problem {
        Problem(status: 400, code: "invalid_append_header", title: "Invalid append header", detail: error.detail)
    }

    /// A later epoch of the producer has appended.
    static func producerFenced(epoch: UInt64) -> Problem {
        var problem = Problem(
            status: 403, code: "producer_fenced", title: "Producer fenced",
            detail: "This producer has appended with epoch \(epoch): requests of earlier epochs are not taken any more."
        )
        problem.members = [("epoch", epoch)]
        problem.headers = [("Producer-Epoch", "\(epoch)")]
        return problem
    }

    static func sequenceGap(expected: UInt64, received: UInt64) -> Problem {
        var problem = Problem(
            status: 409, code: "sequence_gap", title: "Gap in the producer's numbers",
            detail:
                "The next Producer-Seq is \(expected), and \(received) was sent: requests between them have not arrived."
        )
        problem.members = [("expected", expected), ("received", received)]
        problem.headers = [("Producer-Expected-Seq", "\(expected)"), ("Producer-Received-Seq", "\(received)")]
        return problem
    }

    static let duplicateForgotten = Problem(
        status: 409, code: "duplicate_forgotten", title: "Repeat of an old request",
        detail: "This Producer-Seq was taken long ago, and its answer is no longer known. Nothing was appended again.")

    static let keyReused = Problem(
        status: 422, code: "key_reused", title: "Idempotency key used for another request",
        detail: "This Idempotency-Key was sent with another body before. Take a new key for each request.")

    static func keysFull(retryAfterSeconds: Int) -> Problem {
        Problem(
            status: 429, code: "keys_full", title: "Too many idempotency keys",
            detail:
                "Every idempotency key that can be remembered is in use; keys are kept for their window, never less. Send "
                + "the request again later, or number requests with a producer.",
            retryable: true, retryAfterSeconds: UInt64(max(1, retryAfterSeconds)))
    }

    static let producersFull = Problem(
        status: 429, code: "producers_full", title: "Too many producers",
        detail:
            "Every producer that can be remembered is in use. Send the request again later, or from a producer that is known.",
        retryable: true, retryAfterSeconds: 60)

    /// The tail is what the condition has to name.
    static func conditionFailed(next: RecordOffset, log: LogID?) -> Problem {
        var problem = Problem(
            status: 412, code: "condition_failed", title: "Condition failed",
            detail: log == nil
                ? "There is no log of this name, so its next offset is 0."
                : "The log's next offset is \(next). Read what is new, then try again.")
        problem.members = [("next", next.rawValue)]
        problem.headers = [("Next-Offset", "\(next)")]
        if let log { problem.headers.append(("ETag", "\"\(log).\(next)\"")) }
        return problem
    }

    static func logClosed(next: RecordOffset) -> Problem {
        var problem = Problem(
            status: 409, code: "log_closed", title: "Log closed",
            detail: "The log was closed at offset \(next) and takes no more records.")
        problem.members = [("next", next.rawValue)]
        problem.headers = [("Next-Offset", "\(next)")]
        return problem
    }

    static let rateLimited = Problem(
        status: 429, code: "rate_limited", title: "Too many appends",
        detail: "The log's appends_per_second_max is used up for this second. Send the request again later.",
        retryable: true, retryAfterSeconds: 1)

    // MARK: Batches

    static func batchTooLarge(bytesMax: Int) -> Problem {
        Problem(
            status: 413, code: "batch_too_large", title: "Batch too large",
            detail:
                "The appends need more than the \(bytesMax) bytes of a batch of the write-ahead log. Send fewer at once."
        )
    }

    /// The same problem, said of one append of a batch.
    func ofAppend(_ index: Int?) -> Problem {
        guard let index else { return self }
        var problem = self
        problem.detail =
            "Append \(index) of the batch, counted from 0: " + detail + " Nothing of the batch was appended."
        problem.members.append(("index", UInt64(index)))
        return problem
    }

    // MARK: The life of logs

    static func invalidBody(_ error: InvalidBody) -> Problem {
        Problem(status: 400, code: "invalid_body", title: "Invalid body", detail: error.detail).ofAppend(error.index)
    }

    static let settingsDiffer = Problem(
        status: 409, code: "settings_differ", title: "Log exists with other settings",
        detail: "There is a log of this name with other settings. PATCH changes them; DELETE makes the name free.")

    static func trimBeyondTail(next: RecordOffset) -> Problem {
        var problem = Problem(
            status: 409, code: "trim_beyond_tail", title: "Trim beyond the tail",
            detail: "The log's next offset is \(next): records that are not there yet cannot be trimmed.")
        problem.members = [("next", next.rawValue)]
        problem.headers = [("Next-Offset", "\(next)")]
        return problem
    }
}
