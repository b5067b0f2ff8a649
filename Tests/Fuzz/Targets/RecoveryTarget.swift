@testable import CommitLog
@testable import LogFormat
@testable import LogStore

/// Input: a control byte, two bytes of length, a checkpoint of that length, and what stands behind the headers of the
/// segments, 2,048 bytes each. Control: bit 0 puts the checksums right, bit 1 also the chain (store, position, number,
/// checksum before), bit 2 leaves the checkpoint away.
enum RecoveryTarget {
    static let storeID = StoreID(first: 1, second: 2)
    static let blockBytes = 512
    static let segmentBytes = 2_560

    static func run(_ input: [UInt8]) {
        let fileSystem = directory(from: input)
        let first = outcome(fileSystem)
        require(fileSystem.openCount == 0, "recovery leaves files open")
        guard case .recovered(let log, let logs, let payload) = first else {
            require(outcome(fileSystem) == first, "a refused directory is refused otherwise the second time")
            return
        }
        // A second crash right after the recovery changes nothing.
        guard case .recovered(let logAgain, let logsAgain, let payloadAgain) = outcome(fileSystem) else {
            preconditionFailure("a directory that was recovered is refused afterwards")
        }
        require(logAgain.report.tornBytes == 0, "a tail is cut twice")
        require(logAgain.chain == log.chain && logAgain.segments == log.segments, "a second recovery ends elsewhere")
        require(logsAgain == logs, "a second recovery finds other logs")
        require(payloadAgain == payload, "a second recovery finds other producers, keys or settings")
        walkOffline(fileSystem, log)
    }

    private enum Outcome: Equatable {
        case empty
        case refused(String)
        /// The log, what is shown, and the checksum of a checkpoint of all that is known.
        case recovered(RecoveredLog, [LogSummary], UInt32)

        static func == (left: Outcome, right: Outcome) -> Bool { "\(left)" == "\(right)" }
    }

    private static func outcome(_ fileSystem: MemoryFileSystem) -> Outcome {
        let replay = StoreReplay(directory: "/data", fileSystem: fileSystem)
        let recovery = Recovery(directory: DataDirectory(path: "/data"), fileSystem: fileSystem)
        do throws(CommitLogError) {
            guard let log = try recovery.run(replay) else { return .empty }
            let logs = (0..<replay.table.count).map { replay.table.summary(LogSlot(index: Int32($0))) }
            let payload = CheckpointTarget.payload(
                replay.table, replay.producers, replay.keys,
                anchor: ScanAnchor(segment: .zero, chain: .beginning), nextID: replay.nextID,
                knownBelow: replay.nextID, lastTimestamp: replay.lastTimestamp)
            return .recovered(log, logs, payload.checksum(of: 0..<payload.count))
        } catch {
            return .refused("\(error)")
        }
    }

    /// What verification reads is what recovery took.
    private static func walkOffline(_ fileSystem: MemoryFileSystem, _ log: RecoveredLog) {
        guard let catalog = try? SegmentCatalog(DataDirectory(path: "/data"), fileSystem),
            var walk = try? ChainWalk(catalog, fileSystem, fileIndex: 0, chain: .beginning)
        else { preconditionFailure("the segments of a recovered directory cannot be read") }
        var last = ChainState.beginning
        var end = Position(rawValue: UInt64(blockBytes))
        while let (batch, position) = try! walk.next() {
            require(
                position >= end && position.rawValue % UInt64(blockBytes) == 0, "batches overlap or lie between blocks")
            require(
                batch.header.number == last.number.next && batch.header.previousCRC == last.crc, "the chain is broken")
            last = ChainState(after: batch.header)
            end = position + Int(batch.header.byteCount)
        }
        if log.report.checkpoint == nil { require(last == log.chain, "the walk ends elsewhere than the recovery") }
    }

    // MARK: The directory

    private static func directory(from input: [UInt8]) -> MemoryFileSystem {
        var reader = InputReader(input)
        let control = reader.byte()
        var checkpoint = reader.bytes(Int(reader.integer(UInt16.self)))
        var files: [String: [UInt8]] = [:]
        var chain = ChainState.beginning
        var position = Position.zero
        repeat {
            var bytes = header(at: position) + reader.bytes(segmentBytes - blockBytes)
            bytes.append(contentsOf: [UInt8](repeating: 0, count: segmentBytes - bytes.count))
            if control & 1 == 1 { repair(&bytes, position, &chain, isChained: control & 2 == 2) }
            files[DataDirectory(path: "/data").segmentPath(position)] = bytes
            position = position + segmentBytes
        } while !reader.isEmpty && files.count < 6
        if control & 4 == 0, !checkpoint.isEmpty {
            if control & 1 == 1 { CheckpointTarget.repair(&checkpoint) }
            files["/data/checkpoint/\(DataDirectory.checkpointName(BatchNumber(rawValue: 1)))"] = checkpoint
        }
        return MemoryFileSystem(files)
    }

    static func header(at position: Position) -> [UInt8] {
        let header = SegmentHeader(
            blockBytes: UInt32(blockBytes), storeID: storeID, position: position, segmentBytes: UInt64(segmentBytes),
            created: .zero)
        var bytes = [UInt8](repeating: 0, count: blockBytes)
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        return bytes
    }

    /// Puts the checksums of all batches right, and their places in the chain if that is wanted.
    private static func repair(_ bytes: inout [UInt8], _ segment: Position, _ chain: inout ChainState, isChained: Bool)
    {
        var offset = blockBytes
        while offset < bytes.count {
            let byteCount = Int(bytes.integer(at: offset + 8, as: UInt32.self))
            guard bytes[offset..<offset + 4].elementsEqual("BTCH".utf8) else {
                offset += blockBytes
                continue
            }
            if isChained {
                bytes.store(chain.number.next.rawValue, at: offset + 16)
                bytes.store(storeID.first, at: offset + 32)
                bytes.store(storeID.second, at: offset + 40)
                bytes.store(chain.crc, at: offset + 52)
                bytes.store((segment + offset).rawValue, at: offset + 56)
            }
            guard bytes.repairBatch(at: offset, limit: bytes.count) else {
                offset += blockBytes
                continue
            }
            let found = Array(bytes[offset...]).withUnsafeBytes { try? BatchView(checking: $0).header }
            if let found { chain = ChainState(after: found) }
            offset += (byteCount + blockBytes - 1) / blockBytes * blockBytes
        }
    }
}
