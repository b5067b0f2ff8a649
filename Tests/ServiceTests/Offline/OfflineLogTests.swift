import CommitLog
import Glibc
import LogFormat
import LogStore
import Testing

@testable import AppendLogService

/// Verify and dump on directories that a store wrote.
@Suite struct OfflineLogTests {
    /// A data directory on the disk that the build is on, removed at the end of its life.
    final class Directory {
        let path: String

        init() {
            var template = Array("\(Self.base)/appendlog-service-XXXXXX".utf8CString)
            path = String(cString: mkdtemp(&template)!)
        }

        deinit {
            for folder in ["wal", "checkpoint", "torn", "."] {
                guard let stream = opendir("\(path)/\(folder)") else { continue }
                while let entry = readdir(stream) {
                    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                    }
                    unlink("\(path)/\(folder)/\(name)")
                }
                closedir(stream)
                rmdir("\(path)/\(folder)")
            }
            rmdir(path)
        }

        /// Where this file was built from: /tmp may be memory.
        private static let base = String(#filePath.prefix(upTo: #filePath.range(of: "/Tests/"))) + "/.build"
    }

    /// Writes records to logs `a` and `b`, and closes the store.
    func fill(_ directory: Directory) throws {
        var wal = CommitLogConfiguration(directory: directory.path)
        wal.segmentBytes = 4 << 20
        let store = try LogStore.open(LogStoreConfiguration(wal: wal))
        for (name, text) in [("a", "one\ntwo\n"), ("b", "three"), ("a", "\u{FF}four")] {
            let body = Array(text.utf8)
            try body.withUnsafeBytes { bytes in
                let records = try RecordBody(bytes, encoding: .lines, recordBytesMax: 100, recordCountMax: 100)
                guard case .staged = Array(name.utf8).withUnsafeBytes({ store.append(to: $0, records) }) else {
                    Issue.record("an append was not staged")
                    return
                }
            }
        }
        #expect(store.close(deadlineMicroseconds: SystemClock().monotonicMicroseconds + 30_000_000))
    }

    private func lines(
        _ log: OfflineLog, _ content: LogDump.Content, of name: String? = nil
    ) throws -> (text: [String], isThere: Bool) {
        var bytes: [UInt8] = []
        let dump = try LogDump(log, content, of: name.map { Array($0.utf8) }, { bytes += $0 })
        #expect(dump.isWhole)
        return (String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init), dump.isThere)
    }

    @Test func aWholeDirectoryIsCounted() throws {
        let directory = Directory()
        try fill(directory)
        let found = try Verification(OfflineLog(path: directory.path))
        #expect(found.logCount == 2 && found.recordCount == 4 && found.recordBytes == 17)
        // Two logs made, three appends, and the marks of the store itself.
        #expect(found.frameCount >= 6 && found.batchCount >= 2 && found.segmentCount >= 1)
        #expect(found.tail.tornBytes == 0)
        #expect(found.summary.contains("records      4\n") && found.summary.hasSuffix("no damage\n"))
    }

    @Test func recordsAreDumpedAsTheyAreRead() throws {
        let directory = Directory()
        try fill(directory)
        let log = try OfflineLog(path: directory.path)
        let all = try lines(log, .records)
        #expect(all.isThere && all.text.count == 4)
        #expect(
            all.text[0].hasPrefix(#"{"log":"a","offset":0,"timestamp":"2"#) && all.text[0].hasSuffix(#""data":"one"}"#))
        let ofA = try lines(log, .records, of: "a")
        #expect(ofA.isThere && ofA.text.count == 3 && ofA.text.allSatisfy { $0.hasPrefix(#"{"offset":"#) })
        let ofNone = try lines(log, .records, of: "none")
        #expect(!ofNone.isThere && ofNone.text.isEmpty)
    }

    @Test func framesAreDumpedWithTheirPlaces() throws {
        let directory = Directory()
        try fill(directory)
        let log = try OfflineLog(path: directory.path)
        let all = try lines(log, .frames)
        #expect(all.text.filter { $0.contains(#""kind":"create""#) }.count == 2)
        #expect(all.text.filter { $0.contains(#""kind":"append""#) }.count == 3)
        #expect(all.text.contains { $0.contains(#""kind":"epoch""#) })
        let ofB = try lines(log, .frames, of: "b")
        #expect(ofB.text.count == 2 && ofB.text.allSatisfy { $0.contains(#""log":"b""#) })
    }

    @Test func aDirectoryThatAServerHasOpenIsLeftAlone() throws {
        let directory = Directory()
        try fill(directory)
        let reader = try OfflineLog(path: directory.path)
        // Readers share the directory; a writer does not get it.
        _ = try OfflineLog(path: directory.path)
        #expect(throws: CommitLogError.self) {
            try LogStore.open(LogStoreConfiguration(wal: CommitLogConfiguration(directory: directory.path)))
        }
        withExtendedLifetime(reader) {}
    }

    @Test func aFlippedBitIsDamageAtItsBatch() throws {
        let directory = Directory()
        try fill(directory)
        let path = "\(directory.path)/wal/\(DataDirectory.segmentName(.zero))"
        // The third block: behind the header and the first batch, in the batch with the records.
        let descriptor = open(path, O_RDWR)
        var byte: UInt8 = 0
        #expect(pread(descriptor, &byte, 1, 8_192 + 100) == 1)
        byte ^= 1
        #expect(pwrite(descriptor, &byte, 1, 8_192 + 100) == 1)
        close(descriptor)
        var lines: [String] = []
        let found = try Verification(OfflineLog(path: directory.path)) { lines.append($0) }
        #expect(found.damageCount == 1 && !found.isWhole)
        #expect(lines[0].hasPrefix("damage: wal/\(DataDirectory.segmentName(.zero)) at position 8192: "))
    }
}

extension String {
    fileprivate func range(of part: String) -> String.Index {
        var index = startIndex
        while index < endIndex, !self[index...].hasPrefix(part) { formIndex(after: &index) }
        return index
    }
}
