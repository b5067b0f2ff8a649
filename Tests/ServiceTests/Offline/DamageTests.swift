import CommitLog
import LogFormat
import Testing

/// Random numbers from a seed that a failure names.
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Every kind of damage to every file of a directory that a real store wrote.
@Suite struct DamageTests {
    private static let seed = UInt64(20_261_123)

    private func flipped(_ store: WrittenStore, _ file: String, _ place: Int, bit: Int) -> MemoryFileSystem.Files {
        var files = store.files
        files[file]![place] ^= 1 << bit
        return files
    }

    /// Flips one bit, chosen by the dice, in every byte of these places.
    private func flipEach(
        _ store: WrittenStore, _ places: [(file: String, range: Range<Int>)], every step: Int = 1
    ) throws -> [DamageOracle.Seen] {
        let oracle = try DamageOracle(store)
        var dice = Dice(Self.seed)
        var seen: [DamageOracle.Seen] = []
        for (file, range) in places {
            for place in stride(from: range.lowerBound, to: range.upperBound, by: step) {
                let bit = Int.random(in: 0..<8, using: &dice)
                let what = "seed \(Self.seed): bit \(bit) of byte \(place) of \(file)"
                // What is repaired hangs on what was found, which is compared each time: some copies are enough.
                let repairs = seen.count % 16 == 0
                seen.append(try oracle.check(flipped(store, file, place, bit: bit), what, repairs: repairs))
            }
        }
        return seen
    }

    @Test func everyByteOfASegmentHeader() throws {
        let store = try WrittenStore.sealed.get()
        let header = 0..<SegmentHeader.byteCount
        let seen =
            try flipEach(store, [(store.segments[0], header)])
            + flipEach(store, store.segments.dropFirst().map { ($0, header) }, every: 13)
        #expect(seen.allSatisfy { $0 == .damaged })
    }

    private func range(_ batch: (start: Int, header: BatchHeader)) -> Range<Int> {
        batch.start..<batch.start + Int(batch.header.byteCount)
    }

    @Test func everyByteOfBatchAndFrameHeaders() throws {
        let store = try WrittenStore.sealed.get()
        let first = try store.batches(of: store.segments[0])
        let last = try store.batches(of: store.segments[store.segments.count - 2])
        // The first batches, the one with several frames, the last of the segment, and the last of all before the seal.
        let several = try #require(first.first { $0.header.frameCount >= 4 })
        let places = [several, first[first.count - 1]].map(range)
        let file = store.segments[0]
        let seen =
            try flipEach(store, [(file, range(first[0])), (file, range(first[1]))])
            + flipEach(store, places.map { (file, $0.prefix(300)) }, every: 5)
            + flipEach(store, [(store.segments[store.segments.count - 2], range(last[last.count - 2]))], every: 3)
        #expect(seen.allSatisfy { $0 == .damaged })
        // The seal itself is not sealed: cut as torn.
        let seal = try flipEach(
            store, [(store.segments[store.segments.count - 2], range(last[last.count - 1]))], every: 3)
        #expect(seal.allSatisfy { $0 == .torn })
    }

    @Test func everyByteOfAnUnsealedLastBatchIsCutAndReported() throws {
        let store = try WrittenStore.unsealed.get()
        let segment = store.segments[store.segments.count - 2]
        let last = try #require(try store.batches(of: segment).last)
        let seen = try flipEach(store, [(segment, range(last))], every: 3)
        #expect(seen.allSatisfy { $0 == .torn })
    }

    @Test func everyByteOfCheckpointsAndIndexFiles() throws {
        let store = try WrittenStore.sealed.get()
        let files = store.checkpoints + store.indexes
        // One of each as a whole, as far as its head; the others here and there.
        let seen =
            try flipEach(store, [(store.checkpoints[0], 0..<96), (store.indexes[0], 0..<96)])
            + flipEach(store, files.map { ($0, 0..<store.files[$0]!.count) }, every: 61)
        #expect(seen.allSatisfy { $0 == .damaged })
    }

    @Test(arguments: [true, false])
    func bitsAnywhere(isSealed: Bool) throws {
        let store = try (isSealed ? WrittenStore.sealed : WrittenStore.unsealed).get()
        let oracle = try DamageOracle(store)
        var dice = Dice(Self.seed &+ (isSealed ? 1 : 2))
        for _ in 0..<60 {
            let file = try #require(store.segments.randomElement(using: &dice))
            let place = Int.random(in: 0..<store.files[file]!.count, using: &dice)
            let bit = Int.random(in: 0..<8, using: &dice)
            try oracle.check(
                flipped(store, file, place, bit: bit), "seed \(Self.seed): bit \(bit) of byte \(place) of \(file)")
        }
    }

    @Test(arguments: [true, false])
    func filesCutAnywhere(isSealed: Bool) throws {
        let store = try (isSealed ? WrittenStore.sealed : WrittenStore.unsealed).get()
        let oracle = try DamageOracle(store)
        var dice = Dice(Self.seed &+ 3)
        for (file, bytes) in store.files.sorted(by: { $0.key < $1.key }) where !bytes.isEmpty {
            var lengths: Set<Int> = [0, 1, 8, 79, 80, 100, 4095, 4096, 4097, bytes.count / 2, bytes.count - 1]
            if file.hasSuffix(".seg") {
                let batches = try store.batches(of: file)
                for batch in (batches.prefix(2) + batches.suffix(2)) {
                    let end = batch.start + Int(batch.header.byteCount)
                    lengths.formUnion([batch.start, batch.start + 1, batch.start + 64, end - 1, end, end + 1])
                }
                for _ in 0..<5 { lengths.insert(Int.random(in: 0..<bytes.count, using: &dice)) }
            } else {
                lengths.formUnion(stride(from: 0, to: bytes.count, by: 211))
            }
            for length in lengths.sorted() where length < bytes.count {
                var files = store.files
                files[file]!.removeLast(bytes.count - length)
                #expect(try oracle.check(files, "\(file) cut to \(length)") != .whole)
            }
        }
    }

    @Test(arguments: [true, false])
    func zerosAnywhere(isSealed: Bool) throws {
        let store = try (isSealed ? WrittenStore.sealed : WrittenStore.unsealed).get()
        let oracle = try DamageOracle(store)
        var dice = Dice(Self.seed &+ 4)
        func zero(_ file: String, _ range: Range<Int>) throws {
            var files = store.files
            for place in range { files[file]![place] = 0 }
            try oracle.check(files, "seed \(Self.seed): zeros at \(range) of \(file)")
        }
        for file in store.files.keys.sorted() where !store.files[file]!.isEmpty {
            try zero(file, 0..<store.files[file]!.count)
        }
        for file in store.segments {
            // Zeros over all that is behind some batch, the seal included, leave nothing that could tell.
            for batch in try store.batches(of: file).dropLast(2).shuffled(using: &dice).prefix(3) {
                let end = batch.start + batch.header.paddedBytes(blockBytes: 4096)
                try zero(file, batch.start..<end)
                try zero(file, batch.start..<batch.start + 512)
                try zero(file, batch.start + 64..<end)
                try zero(file, max(0, batch.start - 20_000)..<end)
            }
        }
    }

    @Test(arguments: [true, false])
    func filesSwappedDeletedAndDoubled(isSealed: Bool) throws {
        let store = try (isSealed ? WrittenStore.sealed : WrittenStore.unsealed).get()
        let oracle = try DamageOracle(store)
        let names = store.files.keys.sorted()
        for (index, one) in names.enumerated() {
            var files = store.files
            files[one] = nil
            try oracle.check(files, "\(one) deleted")
            for (step, other) in names[(index + 1)...].enumerated() where one.contains("LOCK") || step % 2 == 0 {
                files = store.files
                files.swapContents(one, other)
                try oracle.check(files, "\(one) and \(other) swapped")
                // Without the active segment and the spare behind it nothing says that there was one.
                if [one, other] == store.segments.suffix(2) { continue }
                files = store.files
                files[one] = nil
                files[other] = nil
                try oracle.check(files, "\(one) and \(other) deleted")
            }
            for (step, other) in names.enumerated() where other != one && (step + index) % 3 == 0 {
                files = store.files
                files[other] = files[one]
                try oracle.check(files, "\(one) also as \(other)")
            }
            files = store.files
            let (folder, ending) = (one.prefix { _ in true }.split(separator: "/").dropLast(), one.suffix(5))
            let double = "/\(folder.joined(separator: "/"))/00000000000077777777\(ending.drop { $0 != "." })"
            files[double] = files[one]
            try oracle.check(files, "\(one) also as \(double)")
        }
    }

    @Test(arguments: 1...40)
    func severalAtOnce(_ number: Int) throws {
        let seed = Self.seed &+ UInt64(number) &* 1_000_003
        var dice = Dice(seed)
        let store = try (Bool.random(using: &dice) ? WrittenStore.sealed : WrittenStore.unsealed).get()
        var files = store.files
        var what = "seed \(seed):"
        for _ in 0..<Int.random(in: 2...6, using: &dice) {
            let file = try #require(files.keys.sorted().filter { !files[$0]!.isEmpty }.randomElement(using: &dice))
            let place = Int.random(in: 0..<files[file]!.count, using: &dice)
            switch Int.random(in: 0..<8, using: &dice) {
            case 0: files[file] = nil
            case 1: files[file]!.removeLast(files[file]!.count - place)
            case 2:
                let end = min(files[file]!.count, place + Int.random(in: 1..<40_000, using: &dice))
                for at in place..<end { files[file]![at] = 0 }
            case 3:
                for at in place..<min(files[file]!.count, place + 600) {
                    files[file]![at] = UInt8.random(in: 0...255, using: &dice)
                }
            default: files[file]![place] ^= 1 << Int.random(in: 0..<8, using: &dice)
            }
            what += " \(file)@\(place)"
        }
        try DamageOracle(store).check(files, what)
    }
}

extension [String: [UInt8]] {
    fileprivate mutating func swapContents(_ one: String, _ other: String) {
        let bytes = self[one]
        self[one] = self[other]
        self[other] = bytes
    }
}
