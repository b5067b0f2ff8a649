import Glibc
import Histogram
import LogFormat

/// A group-commit write-ahead log: frames are staged, one batch at a time goes to the disk, and a batch is reported
/// durable when all of it is written and synced.
///
/// It knows neither names nor HTTP and is driven by one loop, whose turn is:
/// `wait` (sleeps; on a completion the next batch is submitted at once; says what became durable) → the owner
/// publishes, answers, and stages more with `append` → `turn` (hands over what was staged if the disk is free).
///
/// - Everything is called from the thread that opened it.
/// - `durable` only advances when the protocol says publish; nothing behind it may be shown to anyone.
/// - What is staged always fits the active segment or the spare, so a batch never waits for a segment.
public final class CommitLog {
    public let configuration: CommitLogConfiguration
    public let engine: EngineReport
    public let recovery: RecoveryReport
    public let storeID: StoreID
    let directory: DataDirectory
    public let fileSystem: any FileSystem
    let clock: any LogClock
    let device: any LogDevice
    var staging: StagingBuffers
    let maintenance: Maintenance
    /// Held until this value goes.
    var lock: DirectoryLock?

    var commit: CommitState
    /// One builder for each staging buffer.
    let builders: [BatchBuilder]
    /// The index of the builder that frames are staged in; the other one's bytes may be with the disk.
    var filling = 0
    /// When the first frame of the filling batch was staged.
    var fillingSince: Int64 = 0
    /// The filling batch shall not linger.
    var isCommitWanted = false
    /// What is in the filling batch.
    var staged = Counters.Amount()
    var inFlight: InFlightBatch?
    /// The batch in flight is written by the thread that waits for it, and not by the device.
    var isCommittingHere = false
    /// The chain up to the last batch that was sealed.
    var chain: ChainState
    /// The segments in the order of their positions, the last one active.
    public internal(set) var segments: [Segment]
    /// Those of the active one. By itself, as each append asks for it.
    var remainingBytes: Int
    var activeDescriptor: Int32
    var spare: SpareState = .none
    var recent: RecentBatches
    var retirement: Retirement
    var descriptors: SegmentDescriptors
    public internal(set) var durable: DurablePoint
    public internal(set) var counters = Counters()
    var idleSince: Int64
    /// The last batch that was written is a seal: nothing has to be proven durable by a later one.
    var isSealed = false
    var fillRate = FillRate()
    private var events: [DeviceEvent] = []
    private var isClosed = false

    init(
        _ configuration: CommitLogConfiguration, _ environment: Environment, _ log: RecoveredLog,
        activeDescriptor: Int32, lock: consuming DirectoryLock?
    ) throws(CommitLogError) {
        self.configuration = configuration
        directory = environment.directory
        fileSystem = environment.fileSystem
        clock = environment.clock
        let blockBytes = environment.probe.blockBytes
        let staging = StagingBuffers(
            bufferBytes: roundedUp(configuration.batchBytesMax, to: blockBytes), blockBytes: blockBytes)
        (device, engine) = unsafe try environment.host.engine(
            configuration, environment.probe, staging: unsafe staging.all)
        builders = [0, 1].map {
            unsafe BatchBuilder(storage: staging.buffer($0).baseAddress!, capacityBytes: staging.bufferBytes)
        }
        self.staging = staging
        maintenance = try Maintenance(directory, fileSystem, engine.mode, environment.host)
        self.lock = lock
        commit = CommitState(
            durability: engine.mode == .direct ? .writeIsDurable : .syncFollowsWrite,
            lingerMicroseconds: configuration.lingerMicroseconds, lingerBytesMax: configuration.lingerBytesMax)
        recovery = log.report
        storeID = log.storeID
        chain = log.chain
        segments = log.segments
        remainingBytes = log.segments[log.segments.count - 1].remainingBytes
        retirement = Retirement(leftovers: log.retired)
        self.activeDescriptor = activeDescriptor
        recent = RecentBatches(capacityBytes: configuration.recentBytesMax)
        descriptors = SegmentDescriptors(directory: directory, fileSystem: fileSystem)
        durable = DurablePoint(position: log.segments[log.segments.count - 1].end, number: log.chain.number)
        idleSince = clock.monotonicMicroseconds
        device.watch(maintenance.outcomeDescriptor, source: Self.maintenanceSource)
        device.target(activeDescriptor)
    }

    deinit { close() }

    /// Lets go of the directory and of everything that runs; nothing else may be called behind it. On the loop's thread.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        guard endsWhatIsUnderWay() else { return giveUp() }
        maintenance.hurry()
        maintenance.stop()
        // A spare that was finished and not yet taken in.
        for case .prepared(_, .success(let descriptor)) in maintenance.takeOutcomes() { fileSystem.close(descriptor) }
        // A ring that is closed keeps its files a while, and with them the segment's lock.
        device.target(-1)
        fileSystem.close(activeDescriptor)
        if case .ready(_, let descriptor) = spare { fileSystem.close(descriptor) }
        lock = nil
    }

    /// Waits a moment for what the disk was given; false if it does not end.
    private func endsWhatIsUnderWay() -> Bool {
        let deadline = clock.monotonicMicroseconds + CommitLogLimits.giveUpMicroseconds
        var events: [DeviceEvent] = []
        while device.isBusy {
            let remaining = deadline - clock.monotonicMicroseconds
            guard remaining > 0 else { return false }
            device.wait(timeoutMicroseconds: remaining, into: &events)
        }
        return true
    }

    /// The disk has not ended what it was given, and may never: what the kernel still uses is kept for as long as the
    /// process lives, the directory's lock with it, and nobody waits for the threads.
    private func giveUp() {
        staging.giveUp()
        lock.take()?.giveUp()
        unsafe _ = Unmanaged.passRetained(device as AnyObject)
        unsafe _ = Unmanaged.passRetained(maintenance)
    }

    /// The active segment.
    public internal(set) var active: Segment {
        get { segments[segments.count - 1] }
        set {
            segments[segments.count - 1] = newValue
            remainingBytes = newValue.remainingBytes
        }
    }

    /// True from the first failed write or sync on: nothing is acknowledged any more in this process.
    public var poisonCause: PoisonCause? {
        if case .poisoned(let cause) = commit.phase { cause } else { nil }
    }

    /// The position behind everything that was sealed; the durable position when nothing is in flight.
    public var nextPosition: Position { active.end }

    /// Copies one frame into the filling batch.
    ///
    /// `fields` are encoded ones or empty; `fill` writes the record lengths and bytes. The frame is durable when a
    /// `DurableBatch` with the number given back has been reported.
    public func append(
        _ header: FrameHeader, fields: UnsafeRawBufferPointer,
        fill: (_ lengths: UnsafeMutableRawBufferPointer, _ payload: UnsafeMutableRawBufferPointer) -> Void
    ) -> AppendOutcome {
        let frameBytes = FrameHeader.frameBytes(
            fieldsBytes: fields.count, recordCount: Int(header.recordCount), payloadBytes: Int(header.payloadBytes))
        if let refusal = refusal(
            frameBytes: frameBytes, recordCount: Int(header.recordCount), for: header.kind)
        {
            // What waits for the next batch must not wait for this one's company.
            commitSoon()
            return refusal
        }
        if builders[filling].isEmpty { fillingSince = clock.monotonicMicroseconds }
        let offset = unsafe builders[filling].addFrame(header, fields: fields, fill: fill)
        isSealed = header.kind == .seal
        // Copies of records are not records.
        let isCopy = header.kind == .moved
        staged.add(
            records: isCopy ? 0 : Int(header.recordCount), bytes: frameBytes,
            recordBytes: isCopy ? 0 : Int(header.payloadBytes))
        return .staged(StagedFrame(batch: fillingNumber, byteOffset: offset, byteCount: frameBytes))
    }

    /// Bytes of frames that a batch can hold.
    public var frameBytesMax: Int { staging.bufferBytes - BatchHeader.byteCount }

    /// Whether frames of this many bytes together would be staged now; nil if so. `kind` is the kind that takes the most
    /// room: only what frees space or ends something may use the reserve.
    public func refusal(
        frameBytes: Int, recordCount: Int = 0, for kind: FrameKind = .append
    ) -> AppendOutcome? {
        if let cause = poisonCause { return .poisoned(cause) }
        let builder = builders[filling]
        guard builder.fits(frameBytes: frameBytes) else { return .busy }
        let records = staged.records
        if records > 0 && records + recordCount > configuration.batchRecordsMax { return .busy }
        // A segment with other blocks is closed, and has no bytes left.
        let padded = roundedUp(builder.byteCount + frameBytes, to: engine.blockBytes)
        let reserve = kind.bytesLeft(of: configuration.reserveBytes)
        if padded + reserve <= remainingBytes { return nil }
        switch spare {
        case .ready: return nil
        case .failed(let error, _): return .noSegment(error)
        case .none, .preparing:
            // Appends wait for it: how fast the zero-fill goes no longer matters to anyone else.
            maintenance.hurry()
            return .busy
        }
    }

    /// The number that the filling batch will have.
    public var fillingNumber: BatchNumber { chain.nextNumber }

    /// Says that the owner has drained what was ready. Hands the filling batch over if the disk is free.
    /// Returns the microseconds after which it wants to be called again, nil if it need not.
    public func turn() -> Int64? {
        let now = clock.monotonicMicroseconds
        let waiting = advance(now)
        if waiting != nil { return waiting }
        if sealIfIdle(now) { return advance(now) }
        if isSealed || commit.isPoisoned { return nil }
        // The completion of what is with the device wakes the loop; nothing does so behind a write of somebody else's.
        if commit.isInFlight { return isCommittingHere ? CommitLogLimits.sealAfterMicroseconds : nil }
        return max(1, idleSince + CommitLogLimits.sealAfterMicroseconds - now)
    }

    /// Sleeps until something happens or the time is over, and takes it in. On a completion the next batch has been
    /// handed over before this returns; the durable one must be published before anything else is appended.
    public func wait(timeoutMicroseconds: Int64?, into result: inout LoopEvents) {
        sleep(timeoutMicroseconds: timeoutMicroseconds)
        take(into: &result)
    }

    /// The sleeping half of `wait`. It touches the disk's side alone: frames may be staged meanwhile by other threads,
    /// which keep each other out, and everything else but `sleep`.
    public func sleep(timeoutMicroseconds: Int64?) {
        events.removeAll(keepingCapacity: true)
        device.wait(timeoutMicroseconds: timeoutMicroseconds, into: &events)
    }

    /// The other half of `wait`.
    public func take(into result: inout LoopEvents) {
        result.removeAll()
        for event in events {
            switch event {
            case .written(let count): perform(commit.handle(.written(count)), &result)
            case .synced(let code): perform(commit.handle(.synced(code)), &result)
            case .read(let number, let code): result.reads.append((number, code))
            case .failed(let cause): perform(commit.handle(.failed(cause)), &result)
            case .readable(Self.maintenanceSource): takeMaintenance(&result)
            case .readable(let source): result.sources.append(source)
            }
        }
        retrySpare()
    }

    /// Watches a descriptor of the owner's; `source` is positive.
    public func watch(_ descriptor: Int32, source: Int) {
        precondition(source > Self.maintenanceSource)
        device.watch(descriptor, source: source)
    }

    /// The source number of the maintenance thread's wake-ups.
    private static let maintenanceSource = 0
}
