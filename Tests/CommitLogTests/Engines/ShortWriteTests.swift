import Glibc
import LogFormat
import Testing

@testable import CommitLog

/// A write may stop short, at any block and more than once.
struct ShortWriteTests {
    @Test(arguments: EngineCase.all)
    func aShortWriteGoesOnWhereItStopped(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        var frames: [[UInt8]] = []
        do {
            let log = try way.open(directory, decorate: holder.decorate)
            let start = holder.device.writes.count
            holder.device.writeBytesMax = [4096, 12_288, 4096]
            try log.commit(bytes: 50_000)
            let writes = holder.device.writes[start...]
            let batch = log.batches[0]
            #expect(writes.map(\.byteCount) == [4096, 12_288, 4096, batch.blocks.count - 20_480])
            #expect(writes.map { Int($0.fileOffset) - batch.fileOffset } == [0, 4096, 16_384, 20_480])
            #expect(log.batches.count == 1)
            #expect(log.log.counters.bytes == UInt64(2 * 4096 - 4096 + batch.blocks.count))
            try log.commit(bytes: 10)
            frames = log.frames
        }
        #expect(try way.open(directory).replayed.frames == frames)
    }

    @Test(arguments: EngineCase.all)
    func noPieceOfABatchButTheLastMakesItDurable(_ way: EngineCase) throws {
        let directory = try ScratchDirectory()
        let holder = DeviceHolder()
        let log = try way.open(directory, decorate: holder.decorate)
        holder.device.writeBytesMax = Array(repeating: 4096, count: 9)
        try log.stage(log.record(9 * 4096))
        _ = log.log.turn()
        let before = log.log.durable
        while log.batches.isEmpty {
            #expect(log.log.durable == before)
            log.wait()
        }
        #expect(holder.device.writeBytesMax == [])
    }

    /// The kernel's own limit of a file's size: the write that crosses it is short, the one that begins at it fails.
    @Test(arguments: EngineCase.all)
    func aRealShortWriteAndTheErrorBehindItPoison(_ way: EngineCase) async throws {
        let directory = try ScratchDirectory()
        let path = directory.path
        // Where the machine refuses this way of writing, the test ends here.
        _ = try way.open(directory)
        await #expect(processExitsWith: .exitCode(40)) { [way = way as EngineCase, path = path as String] in
            let log = try way.open(ScratchDirectory(borrowing: path))
            log.awaitSpare()
            try log.commit(bytes: 20_000)
            let holder = log.log.durable
            signal(SIGXFSZ, SIG_IGN)
            // Two blocks into the next batch.
            let bytes = rlim_t(holder.position.rawValue + 8192)
            var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
            guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { exit(41) }
            guard case .staged = log.append(log.record(20_000)) else { exit(42) }
            while log.log.poisonCause == nil { log.wait() }
            guard log.log.poisonCause == .write(errno: EFBIG) else { exit(43) }
            guard log.log.durable == holder, log.batches.count == 1, log.append([1]) == .poisoned(.write(errno: EFBIG))
            else { exit(44) }
            exit(40)
        }
        let log = try way.open(directory)
        #expect(log.replayed.frames.count == 1)
        #expect(log.log.recovery.tornBytes == 8192)
    }
}
