import AppendLogService
import ArgumentParser
import CommitLog
import HTTPFrontEnd
import LogStore
import Logging

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve a data directory over HTTP.",
        discussion: """
            Every flag can also be given as an environment variable: --data-dir as APPENDLOG_DATA_DIR, and so on; a flag \
            wins over its variable, and an unknown variable of that form is refused. Sizes are bytes, or numbers with KiB \
            or MiB behind them.

            SIGTERM and SIGINT stop accepting, answer what is open and exit with status 0; a second signal exits at once (130). \
            Exit status 1: it refused to start, the disk failed, or records were not durable at the drain's deadline.
            """)

    @OptionGroup(title: "Place") var place: PlaceOptions
    @OptionGroup(title: "Requests") var requests: RequestOptions
    @OptionGroup(title: "Exactly once") var identities: IdentityOptions
    @OptionGroup(title: "Connections") var connections: ConnectionOptions
    @OptionGroup(title: "Write-ahead log") var disk: DiskOptions
    @OptionGroup(title: "Operation") var operation: OperationOptions

    /// Parsing ends with this, so that what it refuses is told with the usage of this command.
    func validate() throws {
        try EnvironmentVariable.refuseUnknown()
        _ = try operation.logging()
        _ = try configured()
    }

    func run() throws {
        let (format, level) = try operation.logging()
        let logger = Logger(label: "appendlog") { _ in LineLogHandler(format, level: level) }
        Server.run(try configured(), logger)
    }

    private func configured() throws -> ServerConfiguration {
        var http = HTTPLimits()
        try requests.apply(to: &http)
        try connections.apply(to: &http)
        // The memory for bodies takes the largest one.
        http.receivingBytesMax = max(http.receivingBytesMax, http.requestBodyBytesMax)
        let recordsMax = try requests.recordCountMax()
        let batchBytesNeeded = ServerConfiguration.batchBytesNeeded(
            bodyBytesMax: http.requestBodyBytesMax, recordsPerRequestMax: recordsMax)
        var store = LogStoreConfiguration(wal: CommitLogConfiguration(directory: try place.directory()))
        store.wal.allowsUnsafeFileSystem = try place.allowsUnsafeFileSystem()
        try requests.apply(to: &store, requestBytesMax: batchBytesNeeded)
        try identities.apply(to: &store.identities)
        try disk.apply(to: &store.wal, batchBytesNeeded: batchBytesNeeded)
        var configuration = ServerConfiguration(listen: try place.address(), store: store, http: http)
        configuration.recordBytesMax = try requests.recordSizeMax(bodyBytesMax: http.requestBodyBytesMax)
        configuration.recordsPerRequestMax = recordsMax
        try connections.apply(to: &configuration.live)
        configuration.drainDeadlineSeconds = try operation.drainSeconds()
        return configuration
    }
}

struct PlaceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Directory of all data; it is made if it is missing. Required.", valueName: "directory"))
    var dataDir: String?

    @Option(
        help: ArgumentHelp(
            "IPv4 address or bracketed IPv6 address, a colon and a port; port 0 takes a free one. (default: 127.0.0.1:4437)",
            valueName: "address"))
    var listen: String?

    @Flag(help: "Accept a data directory on tmpfs or overlayfs, where a sync may make nothing durable.")
    var allowUnsafeFilesystem = false

    func directory() throws -> String {
        guard let path = try EnvironmentVariable.value(of: "data-dir", flag: dataDir, expecting: "a path"),
            !path.isEmpty
        else {
            throw ValidationError("Say where the data are: --data-dir DIR, or APPENDLOG_DATA_DIR.")
        }
        return path
    }

    func address() throws -> String {
        try EnvironmentVariable.value(of: "listen", flag: listen, expecting: "an address", default: "127.0.0.1:4437")
    }

    func allowsUnsafeFileSystem() throws -> Bool {
        try EnvironmentVariable.value(
            of: "allow-unsafe-filesystem", flag: allowUnsafeFilesystem ? Choice(true) : nil,
            expecting: "true or false", default: Choice(false)
        ).isTrue
    }
}

struct RequestOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Largest request body, in bytes. (default: 1114112)", valueName: "bytes"))
    var requestBodyBytesMax: ByteSize?

    @Option(help: ArgumentHelp("Largest record, in bytes. (default: 1048576)", valueName: "bytes"))
    var recordBytesMax: ByteSize?

    @Option(help: ArgumentHelp("Most records in one request. (default: 65536)", valueName: "count"))
    var recordsPerRequestMax: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Bytes that may wait for the disk; more appends get 503. (default: 67108864)", valueName: "bytes"))
    var pendingBytesMax: ByteSize?

    @Option(
        help: ArgumentHelp(
            "Whether an append makes a log that is not there: true or false. (default: true)", valueName: "true|false"))
    var autoCreate: Choice?

    func apply(to http: inout HTTPLimits) throws {
        http.requestBodyBytesMax = try EnvironmentVariable.value(
            of: "request-body-bytes-max", flag: requestBodyBytesMax, expecting: byteSize,
            default: ByteSize(bytes: http.requestBodyBytesMax)
        ).bytes
    }

    /// `requestBytesMax` is what the largest request may take.
    func apply(to store: inout LogStoreConfiguration, requestBytesMax: Int) throws {
        let given = try EnvironmentVariable.value(of: "pending-bytes-max", flag: pendingBytesMax, expecting: byteSize)
        if let given, given.bytes < requestBytesMax {
            throw ValidationError(
                "--pending-bytes-max \(given.bytes) would refuse the largest request for ever, which needs \(requestBytesMax) "
                    + "bytes: raise it, or lower --request-body-bytes-max or --records-per-request-max.")
        }
        store.pendingBytesMax = given?.bytes ?? max(store.pendingBytesMax, requestBytesMax)
        store.autoCreate = try EnvironmentVariable.value(
            of: "auto-create", flag: autoCreate, expecting: "true or false", default: Choice(store.autoCreate)
        ).isTrue
    }

    func recordSizeMax(bodyBytesMax: Int) throws -> Int {
        let given = try EnvironmentVariable.value(of: "record-bytes-max", flag: recordBytesMax, expecting: byteSize)
        if let given, given.bytes > bodyBytesMax {
            throw ValidationError(
                "--record-bytes-max \(given.bytes) is more than a request may have, which is \(bodyBytesMax) bytes: lower it, "
                    + "or raise --request-body-bytes-max.")
        }
        return given?.bytes ?? min(ServiceLimits.recordBytesDefault, bodyBytesMax)
    }

    func recordCountMax() throws -> Int {
        try EnvironmentVariable.value(
            of: "records-per-request-max", flag: recordsPerRequestMax, expecting: positiveNumber,
            default: PositiveNumber(ServiceLimits.recordsPerRequestDefault)
        ).value
    }
}

struct IdentityOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Idempotency keys that are known at a time. (default: 1000000)", valueName: "count"))
    var keysMax: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Seconds for which an idempotency key is known. (default: 86400)", valueName: "seconds"))
    var keyWindowSeconds: PositiveNumber?

    @Option(help: ArgumentHelp("Producers that are known at a time. (default: 32768)", valueName: "count"))
    var producersMax: PositiveNumber?

    func apply(to identities: inout IdentityLimits) throws {
        try set(&identities.keysMax, "keys-max", keysMax)
        try set(&identities.keyWindowSeconds, "key-window-seconds", keyWindowSeconds)
        try set(&identities.producersMax, "producers-max", producersMax)
    }
}

/// Takes a limit from its flag or its environment variable; it stays where neither is there.
private func set(_ limit: inout Int, _ name: String, _ flag: PositiveNumber?) throws {
    limit = try EnvironmentVariable.value(
        of: name, flag: flag, expecting: positiveNumber, default: PositiveNumber(limit)
    ).value
}

struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Connections that are served, as far as the limit of open files allows. (default: 1000)", valueName: "count"
        ))
    var connectionsMax: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Seconds from a connection or a request line to the end of the headers. (default: 10)", valueName: "seconds"
        ))
    var headerDeadlineSeconds: PositiveNumber?

    @Option(help: ArgumentHelp("Seconds for a body however short. (default: 30)", valueName: "seconds"))
    var bodyDeadlineSeconds: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Bytes per second that earn a longer body, or a longer answer, more time. (default: 1024)",
            valueName: "bytes"))
    var bodyRateBytesMin: ByteSize?

    @Option(
        help: ArgumentHelp(
            "Seconds that a connection may stay open between requests. (default: 75)", valueName: "seconds"))
    var idleTimeoutSeconds: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Seconds without a record after which a live tail gets a comment. (default: 15)", valueName: "seconds"))
    var keepAliveSeconds: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Clients that follow logs with server-sent events; each is a connection, too. (default: 10000)",
            valueName: "count"))
    var subscribersMax: PositiveNumber?

    func apply(to live: inout LiveLimits) throws {
        try set(&live.keepAliveSeconds, "keep-alive-seconds", keepAliveSeconds)
        try set(&live.subscribersMax, "subscribers-max", subscribersMax)
    }

    func apply(to http: inout HTTPLimits) throws {
        try set(&http.connectionsMax, "connections-max", connectionsMax)
        try set(&http.headerDeadlineSeconds, "header-deadline-seconds", headerDeadlineSeconds)
        try set(&http.bodyDeadlineSeconds, "body-deadline-seconds", bodyDeadlineSeconds)
        try set(&http.idleTimeoutSeconds, "idle-timeout-seconds", idleTimeoutSeconds)
        http.bodyRateBytesMin = try EnvironmentVariable.value(
            of: "body-rate-bytes-min", flag: bodyRateBytesMin, expecting: byteSize,
            default: ByteSize(bytes: http.bodyRateBytesMin)
        ).bytes
    }
}

struct DiskOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Bytes of the segment files made from now on, a multiple of 1 MiB. (default: 67108864)", valueName: "bytes")
    )
    var segmentBytes: ByteSize?

    @Option(
        help: ArgumentHelp(
            "Bytes of the largest batch. (default: 1572864, or what the largest request needs)", valueName: "bytes"))
    var batchBytesMax: ByteSize?

    @Option(
        help: ArgumentHelp(
            "Microseconds that an append waits for others to share its sync. (default: 0)", valueName: "microseconds"))
    var commitLingerMicroseconds: NaturalNumber?

    @Option(
        help: ArgumentHelp("Who calls the kernel: auto, io_uring or syscalls. (default: auto)", valueName: "engine"))
    var engine: EngineChoice?

    @Option(help: ArgumentHelp("How batches are written: auto, direct or buffered. (default: auto)", valueName: "mode"))
    var mode: ModeChoice?

    func apply(to wal: inout CommitLogConfiguration, batchBytesNeeded: Int) throws {
        let given = try EnvironmentVariable.value(of: "batch-bytes-max", flag: batchBytesMax, expecting: byteSize)
        if let given, given.bytes < batchBytesNeeded {
            throw ValidationError(
                "--batch-bytes-max \(given.bytes) cannot hold the largest request, which needs \(batchBytesNeeded) bytes: "
                    + "raise it, or lower --request-body-bytes-max or --records-per-request-max.")
        }
        wal.batchBytesMax = given?.bytes ?? max(wal.batchBytesMax, batchBytesNeeded)
        wal.segmentBytes = try EnvironmentVariable.value(
            of: "segment-bytes", flag: segmentBytes, expecting: byteSize, default: ByteSize(bytes: wal.segmentBytes)
        ).bytes
        wal.reserveBytes = wal.reserveBytesDefault
        wal.lingerMicroseconds = Int64(
            try EnvironmentVariable.value(
                of: "commit-linger-microseconds", flag: commitLingerMicroseconds, expecting: "a number from 0 on",
                default: NaturalNumber(0)
            ).value)
        wal.engine = try EnvironmentVariable.value(
            of: "engine", flag: engine, expecting: "auto, io_uring or syscalls", default: .auto)
        wal.mode = try EnvironmentVariable.value(
            of: "mode", flag: mode, expecting: "auto, direct or buffered", default: .auto)
    }
}

struct OperationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Seconds from the first SIGTERM or SIGINT to the exit, at most. (default: 30)", valueName: "seconds"))
    var drainDeadlineSeconds: PositiveNumber?

    @Option(
        help: ArgumentHelp(
            "Log lines of this level and above: trace, debug, info, notice, warning, error or critical. (default: info)",
            valueName: "level"))
    var logLevel: LogLevel?

    @Option(help: ArgumentHelp("Log lines on standard error as text or json. (default: text)", valueName: "format"))
    var logFormat: LogLineFormat?

    func drainSeconds() throws -> Int {
        try EnvironmentVariable.value(
            of: "drain-deadline-seconds", flag: drainDeadlineSeconds, expecting: positiveNumber,
            default: PositiveNumber(ServiceLimits.drainSecondsDefault)
        ).value
    }

    func logging() throws -> (LogLineFormat, Logger.Level) {
        let format = try EnvironmentVariable.value(
            of: "log-format", flag: logFormat, expecting: "text or json", default: .text)
        let level = try EnvironmentVariable.value(
            of: "log-level", flag: logLevel, expecting: "a level from trace to critical", default: LogLevel(.info))
        return (format, level.level)
    }
}

private let byteSize = "a number of bytes, or one with KiB or MiB behind it"
private let positiveNumber = "a number from 1 on"
