@testable import LogFormat
@testable import LogStore

/// Input: a control byte (bit 0: put the checksums right first), four bytes that choose a bit to flip, and an index file of
/// the segment at position 0 of the store 1, 2.
enum IndexTarget {
    static let storeID = StoreID(first: 1, second: 2)

    static func run(_ input: [UInt8]) {
        var reader = InputReader(input)
        let control = reader.byte()
        let bit = Int(reader.integer(UInt32.self))
        var bytes = reader.remainder()
        if control & 1 == 1 { repair(&bytes) }
        guard let rows = decoded(bytes) else { return }
        let tableEnd = IndexFile.headerBytes + rows.count * IndexFile.rowBytes
        require(tableEnd <= bytes.count, "a table reaches beyond its file")
        let flipped = bit % (tableEnd * 8)
        // The reserved number is not covered.
        if !(52..<56).contains(flipped / 8) {
            require(decoded(bytes.flippingBit(flipped)) == nil, "an index with a flipped bit is accepted")
        }
        var runs: [(log: LogID, run: IndexRun)] = []
        for row in rows {
            guard let entries = entries(of: row, in: bytes) else { continue }
            require(entries.count == Int(row.entryCount), "a block does not have the entries that its row says")
            let run = IndexRun(entries: entries[...], end: row.end)
            if !entries.isEmpty, run.first < run.end { runs.append((row.log, run)) }
        }
        let written = IndexFile.encode(storeID: storeID, segment: .zero, runs: runs)
        require(decoded(written.bytes) == written.rows, "an index that was written is read otherwise")
        for (row, (_, run)) in zip(written.rows, runs) {
            require(
                entries(of: row, in: written.bytes) == Array(run.entries), "a block that was written is read otherwise")
        }
    }

    private static func decoded(_ bytes: [UInt8]) -> [IndexFile.Row]? {
        withExactMemory(bytes) { try? IndexFile.rows(decoding: $0, storeID: storeID, segment: .zero) }
    }

    /// The entries of a row if its block lies in the file and is whole.
    private static func entries(of row: IndexFile.Row, in bytes: [UInt8]) -> [IndexEntry]? {
        let end = Int(row.blockStart) + IndexFile.blockBytes(entryCount: Int(row.entryCount))
        guard end <= bytes.count else { return nil }
        return withExactMemory(Array(bytes[Int(row.blockStart)..<end])) {
            try? IndexFile.entries(decoding: $0, log: row.log)
        }
    }

    /// Gives the header, the table and each block that can be found the checksum of what it holds.
    private static func repair(_ bytes: inout [UInt8]) {
        guard bytes.count >= IndexFile.headerBytes else { return }
        bytes.store(UInt64(bytes.count), at: 40)
        let count = min(
            Int(bytes.integer(at: 12, as: UInt32.self)), (bytes.count - IndexFile.headerBytes) / IndexFile.rowBytes)
        bytes.store(UInt32(count), at: 12)
        for row in 0..<count {
            let place = IndexFile.headerBytes + row * IndexFile.rowBytes
            let start = Int(bytes.integer(at: place + 40, as: UInt32.self))
            let end = start + IndexFile.blockBytes(entryCount: Int(bytes.integer(at: place + 44, as: UInt32.self)))
            guard start >= IndexFile.headerBytes + count * IndexFile.rowBytes, end <= bytes.count else { continue }
            bytes.store(bytes.integer(at: place, as: UInt32.self), at: start + 4)
            bytes.store(bytes.checksum(of: start + IndexFile.blockHeaderBytes..<end), at: start)
        }
        let tableEnd = IndexFile.headerBytes + count * IndexFile.rowBytes
        let head = bytes.checksum(of: 0..<48)
        bytes.store(bytes.checksum(of: IndexFile.headerBytes..<tableEnd, continuing: head), at: 48)
    }
}
