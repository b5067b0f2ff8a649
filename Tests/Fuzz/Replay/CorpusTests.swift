import Glibc
import Testing

/// What libFuzzer has found interesting goes through the same functions again, and some mutations of it, in an ordinary test
/// build: `make fuzz` looks for more.
@Suite struct CorpusTests {
    /// Mutated inputs for each target. The slowest takes a few hundred microseconds an input.
    private static let mutationCount = 4_000
    private static let seed: UInt64 = 20_261_123

    @Test(arguments: FuzzTarget.allCases)
    func `every saved input and its mutations keep what the parser promises`(_ target: FuzzTarget) throws {
        let inputs = try Corpus.inputs(of: target) + Seeds.inputs(for: target)
        #expect(inputs.count > Seeds.inputs(for: target).count, "the corpus of \(target) is missing")
        let last = try LastInput(of: target)
        for input in inputs { last.run(input) }
        var mutator = Mutator(seed: Self.seed)
        for _ in 0..<Self.mutationCount { last.run(mutator.mutated(inputs)) }
        last.forget()
    }
}

/// The saved inputs, beside this file's folder.
private enum Corpus {
    static func inputs(of target: FuzzTarget) throws -> [[UInt8]] {
        let here = "\(#filePath)".split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
        let folder = (here + ["Corpus", "\(target.rawValue)"]).joined(separator: "/")
        let directory = try #require(opendir(folder), "no folder \(folder)")
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
                })
        }
        return try names.filter { !$0.hasPrefix(".") }.sorted().map { try contents("\(folder)/\($0)") }
    }

    private static func contents(_ path: String) throws -> [UInt8] {
        let file = try #require(fopen(path, "rb"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&bytes, 1, bytes.count, file)
        try #require(count < bytes.count, "\(path) is too large for a corpus")
        return Array(bytes[..<count])
    }
}

/// Runs inputs and leaves the one that ended the process in a file, which can go into the corpus as it is.
private struct LastInput {
    private let target: FuzzTarget
    private let path: String
    private let descriptor: Int32

    init(of target: FuzzTarget) throws {
        self.target = target
        path = "/tmp/appendlog-fuzz-\(target.rawValue)-\(getpid())"
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0, "\(path) cannot be written")
    }

    func run(_ input: [UInt8]) {
        ftruncate(descriptor, 0)
        pwrite(descriptor, input, input.count, 0)
        target.run(input)
    }

    func forget() {
        close(descriptor)
        unlink(path)
    }
}

/// Changes inputs a little, the same way for the same seed (SplitMix64).
private struct Mutator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// One of the inputs with one to four changes.
    mutating func mutated(_ inputs: [[UInt8]]) -> [UInt8] {
        var input = inputs.randomElement(using: &self)!
        for _ in 0..<Int.random(in: 1...4, using: &self) { change(&input, inputs) }
        return input
    }

    private mutating func change(_ input: inout [UInt8], _ inputs: [[UInt8]]) {
        guard let place = input.indices.randomElement(using: &self) else {
            input.append(UInt8.random(in: 0...255, using: &self))
            return
        }
        switch Int.random(in: 0..<6, using: &self) {
        case 0: input[place] ^= 1 << Int.random(in: 0..<8, using: &self)
        case 1: input[place] = [0, 1, 0x7F, 0x80, 0xFF, UInt8(ascii: "\n")].randomElement(using: &self)!
        case 2: input[place] &+= UInt8.random(in: 0...16, using: &self) &- 8
        case 3: input.removeSubrange(place..<min(input.count, place + Int.random(in: 1...32, using: &self)))
        case 4: input.insert(UInt8.random(in: 0...255, using: &self), at: place)
        default:
            let other = inputs.randomElement(using: &self)!
            input.replaceSubrange(place..., with: other.suffix(max(0, other.count - place)))
        }
    }
}
