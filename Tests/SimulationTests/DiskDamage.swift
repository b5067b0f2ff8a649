import LogFormat

@testable import CommitLog

/// What a disk does to durable data by itself, once in a run: no code is to blame, and all of it must be found out.
struct DiskDamage {
    enum Kind: CaseIterable {
        /// The last batch that was acknowledged is changed: only a checkpoint or a seal can prove that it was there.
        case lastBatch, lastBatchVanishes
        case flippedBit, zeroedSector, strayedWrite, lostFile, truncatedFile, swappedFiles
        /// It comes while the files are open.
        case rot
    }

    let kind: Kind
    /// What was damaged, relative to the data directory.
    let files: [String]
    /// The way back: the file from a copy.
    let undo: () -> Void
}

extension SimulatedDisk {
    private static let kinds = [("wal", ".seg"), ("wal", ".idx"), ("checkpoint", ".ckpt")]

    /// The files of a directory of the data directory.
    private func files(_ directory: String, _ ending: String) -> [(name: String, file: SimulatedFile)] {
        guard let directory = try? self.directory("/data/\(directory)") else { return [] }
        return directory.names.filter { $0.hasSuffix(ending) }.compactMap { name in
            guard case .file(let file)? = directory.entries[name] else { return nil }
            return (name, file)
        }
    }

    /// Segments and checkpoints, which a start that refuses must leave alone.
    func fingerprints() -> [String] {
        (files("wal", ".seg") + files("checkpoint", ".ckpt")).map {
            "\($0.name) \($0.file.byteCount) \($0.file.checksum())"
        }
    }

    /// Damages something; nil if there is nothing of that kind. `batch` is the last one that is durable, if its place is
    /// known; `isCovered` says that a checkpoint proves it.
    func damage(_ kind: DiskDamage.Kind, batch: DurableBatch?, isCovered: Bool) -> DiskDamage? {
        switch kind {
        case .lastBatch, .lastBatchVanishes:
            guard let batch else { return nil }
            let start = batch.position - batch.segment
            let range = start..<start + batch.byteCount
            return change(kind, "wal", DataDirectory.segmentName(batch.segment)) { file, seed in
                if kind == .lastBatchVanishes { return file.rot(range) { _ in 0 } }
                let place = start + seed.below(batch.byteCount)
                file.rot(place..<place + 1) { $0 ^ 4 }
            }
        case .lostFile: return lose(isCovered: isCovered)
        case .swappedFiles: return swap()
        case .truncatedFile, .flippedBit, .zeroedSector, .strayedWrite, .rot:
            let (directory, ending) = seed.pick(Self.kinds)
            let found = files(directory, ending)
            guard !found.isEmpty else { return nil }
            return change(kind, directory, seed.pick(found).name) { Self.change($0, kind, &$1) }
        }
    }

    private static func change(_ file: SimulatedFile, _ kind: DiskDamage.Kind, _ seed: inout Seed) {
        guard file.usedBytes > 0 else { return }
        var place = seed.below(file.usedBytes)
        // Headers are rare among records.
        if seed.once(in: 2) { place = min(place / 4096 * 4096 + seed.below(128), file.usedBytes - 1) }
        let sector = place / SimulatedFile.sectorBytes * SimulatedFile.sectorBytes
        let end = min(sector + SimulatedFile.sectorBytes, file.usedBytes)
        switch kind {
        case .truncatedFile: file.truncate(to: place)
        case .zeroedSector: file.rot(sector..<end) { _ in 0 }
        case .strayedWrite: file.rot(sector..<end) { _ in UInt8(truncatingIfNeeded: seed.next()) }
        case .flippedBit, .rot, .lastBatch, .lastBatchVanishes, .lostFile, .swappedFiles:
            let bit = UInt8(1) << UInt8(seed.below(8))
            file.rot(place..<place + 1) { $0 ^ bit }
        }
    }

    /// Changes a copy, and puts it in the file's place; rot changes the file itself.
    private func change(
        _ kind: DiskDamage.Kind, _ directory: String, _ name: String, _ body: (SimulatedFile, inout Seed) -> Void
    ) -> DiskDamage? {
        guard let parent = try? self.directory("/data/\(directory)"), case .file(let file)? = parent.entries[name]
        else {
            return nil
        }
        let changed = kind == .rot ? file : file.copy()
        body(changed, &seed)
        parent.replace(name, .file(changed))
        return DiskDamage(kind: kind, files: ["\(directory)/\(name)"]) { parent.replace(name, .file(file)) }
    }

    /// The last segment with batches is not lost where nothing proves that it was there: DURABILITY.md says so.
    private func lose(isCovered: Bool) -> DiskDamage? {
        let (directory, ending) = seed.pick(Self.kinds)
        var found = files(directory, ending)
        if ending == ".seg", !isCovered, let last = found.last, !last.file.isZero(from: SegmentHeader.byteCount) {
            found.removeLast()
        }
        guard !found.isEmpty, let parent = try? self.directory("/data/\(directory)") else { return nil }
        let (name, file) = seed.pick(found)
        parent.replace(name, nil)
        return DiskDamage(kind: .lostFile, files: ["\(directory)/\(name)"]) { parent.replace(name, .file(file)) }
    }

    private func swap() -> DiskDamage? {
        let (directory, ending) = seed.pick(Self.kinds)
        let found = files(directory, ending)
        guard found.count > 1, let parent = try? self.directory("/data/\(directory)") else { return nil }
        let first = seed.below(found.count - 1)
        let (one, other) = (found[first], found[first + 1 + seed.below(found.count - 1 - first)])
        parent.replace(one.name, .file(other.file))
        parent.replace(other.name, .file(one.file))
        return DiskDamage(kind: .swappedFiles, files: ["\(directory)/\(one.name)", "\(directory)/\(other.name)"]) {
            parent.replace(one.name, .file(one.file))
            parent.replace(other.name, .file(other.file))
        }
    }
}
