import CommitLog
import HTTPFrontEnd
import LogFormat
import LogStore

/// Everything that a server can be told.
public struct ServerConfiguration: Sendable {
    /// "127.0.0.1:4437" or "[::1]:4437"; port 0 lets the kernel choose.
    public var listen: String
    public var store: LogStoreConfiguration
    public var http: HTTPLimits
    /// Bytes of one record, at most.
    public var recordBytesMax = ServiceLimits.recordBytesDefault
    /// Records of one request, at most.
    public var recordsPerRequestMax = ServiceLimits.recordsPerRequestDefault
    public var live = LiveLimits()
    /// Seconds from the signal to the exit, at most.
    public var drainDeadlineSeconds = ServiceLimits.drainSecondsDefault

    public init(listen: String, store: LogStoreConfiguration, http: HTTPLimits) {
        self.listen = listen
        self.store = store
        self.http = http
    }

    /// Bytes that one batch must hold, so that the largest request allowed fits: its frame, and the frame that makes its
    /// log.
    public static func batchBytesNeeded(bodyBytesMax: Int, recordsPerRequestMax: Int) -> Int {
        // A body has no more records than bytes; of lines every other byte is a line end.
        let recordCount = min(recordsPerRequestMax, bodyBytesMax / 2 + 1)
        let append = FrameHeader.frameBytes(
            fieldsBytes: LogStoreLimits.appendFieldsBytesMax, recordCount: recordCount, payloadBytes: bodyBytesMax)
        let create = FrameHeader.frameBytes(
            fieldsBytes: LogStoreLimits.creationFieldsBytesMax, recordCount: 0, payloadBytes: 0)
        return BatchHeader.byteCount + create + append
    }

    var appendLimits: AppendLimits {
        AppendLimits(
            bodyBytesMax: http.requestBodyBytesMax, recordBytesMax: recordBytesMax, recordCountMax: recordsPerRequestMax
        )
    }
}
