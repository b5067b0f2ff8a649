import Glibc
import LogFormat
import Testing

@testable import CommitLog

struct DiskProbeTests {
    @Test func tmpfsIsRefusedUnlessAllowed() throws {
        var template = Array("/dev/shm/wal-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { try Test.cancel("no /dev/shm here: \(errnoSentence(errno))") }
        let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        defer { rmdir(path) }
        var configuration = CommitLogConfiguration(directory: path)
        do {
            _ = try DiskProbe(configuration, DataDirectory(path: path))
            Issue.record("tmpfs was accepted")
        } catch {
            guard case .unsafeFileSystem(path, "tmpfs") = error else {
                Issue.record("\(error)")
                return
            }
            #expect(error.description.contains("--allow-unsafe-filesystem"))
        }
        configuration.allowsUnsafeFileSystem = true
        // It takes direct writes, and is not known to sync them.
        #expect(try DiskProbe(configuration, DataDirectory(path: path)).mode == .buffered)
        #expect(try PosixFileSystem().list(path) == [], "the probe leaves nothing behind")
    }

    @Test func theBlockIsAPowerOfTwoThatDirectWritesTake() throws {
        let directory = try ScratchDirectory()
        let probe = try DiskProbe(DrivenLog.configuration(directory), directory.directory)
        #expect(probe.blockBytes >= CommitLogLimits.blockBytesMin)
        #expect(probe.blockBytes & (probe.blockBytes - 1) == 0)
        #expect(directory.names(in: ".") == [])
    }

    @Test func theModeThatWasAskedForIsTaken() throws {
        let directory = try ScratchDirectory()
        var configuration = DrivenLog.configuration(directory)
        configuration.mode = .buffered
        #expect(try DiskProbe(configuration, directory.directory).mode == .buffered)
    }

    @Test func aDirectoryThatIsNotThereIsAnError() throws {
        let directory = try ScratchDirectory()
        let missing = DataDirectory(path: "\(directory.path)/missing")
        #expect(throws: CommitLogError.self) { try DiskProbe(DrivenLog.configuration(directory), missing) }
    }

    @Test func theLockExcludesASecondOpener() throws {
        let directory = try ScratchDirectory()
        do {
            let first = try DrivenLog(directory)
            do {
                _ = try CommitLog.open(DrivenLog.configuration(directory), visitor: ReplayedLog())
                Issue.record("two logs opened one directory")
            } catch CommitLogError.inUse(let path) {
                #expect(path == directory.path)
            }
            try first.commit(bytes: 10)
        }
        #expect(try DrivenLog(directory).replayed.frames.count == 1)
    }

    @Test func readersShareTheLockAndKeepAServerOut() throws {
        let directory = try ScratchDirectory()
        _ = try DrivenLog(directory)
        let first = try whenNoChildHoldsTheLock { try DirectoryLock(directory.directory, isShared: true) }
        let second = try whenNoChildHoldsTheLock { try DirectoryLock(directory.directory, isShared: true) }
        #expect(throws: CommitLogError.self) {
            try CommitLog.open(DrivenLog.configuration(directory), visitor: ReplayedLog())
        }
        extend(first)
        extend(second)
    }

    private func extend(_ lock: borrowing DirectoryLock) {}

    @Test func theLockOfAProcessThatDiedIsFree() async throws {
        let directory = try ScratchDirectory()
        let path = directory.path
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let log = try DrivenLog(ScratchDirectory(borrowing: path))
            try log.commit(bytes: 100)
            kill(getpid(), SIGKILL)
        }
        #expect(try DrivenLog(directory).replayed.frames.count == 1)
    }
}
