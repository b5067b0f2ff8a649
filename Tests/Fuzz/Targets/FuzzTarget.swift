/// One parser under hostile bytes. The raw value names it on the command line and its folder in Corpus.
enum FuzzTarget: String, CaseIterable {
    /// Batches with their frames and fields.
    case batch
    /// The header of a segment.
    case segment
    /// A whole data directory of segments and a checkpoint, as recovery and verification walk it.
    case recovery
    /// Checkpoint files, and the payload that the store reads from them.
    case checkpoint
    /// Index files of sealed segments.
    case index
    /// The body of an append in its three forms.
    case body
    /// Request targets, queries and log names.
    case target
    /// Header lines: framing, media types, Accept.
    case headers
    /// Conditions, entity tags, producers and keys in the headers of an append; times.
    case append
    /// JSON that clients send: batches, settings and patches of them.
    case document
    /// What the server writes: records, problems and log lines as JSON.
    case json

    /// Gives the bytes to the parser and checks what must hold whatever they are. Traps where it does not hold.
    func run(_ input: [UInt8]) {
        switch self {
        case .batch: BatchTarget.run(input)
        case .segment: SegmentTarget.run(input)
        case .recovery: RecoveryTarget.run(input)
        case .checkpoint: CheckpointTarget.run(input)
        case .index: IndexTarget.run(input)
        case .body: BodyTarget.run(input)
        case .target: RequestTarget.run(input)
        case .headers: HeadersTarget.run(input)
        case .append: AppendTarget.run(input)
        case .document: DocumentTarget.run(input)
        case .json: JSONTarget.run(input)
        }
    }
}

/// Ends the process with a message unless the condition holds, in every build configuration.
func require(_ condition: Bool, _ message: @autoclosure () -> String, file: StaticString = #file, line: UInt = #line) {
    if !condition { preconditionFailure(message(), file: file, line: line) }
}

/// Takes an input apart from its front; behind the end it gives zeros and nothing.
struct InputReader {
    private var rest: ArraySlice<UInt8>

    init(_ input: [UInt8]) { rest = input[...] }

    var isEmpty: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) -> Value {
        var value: Value = 0
        for index in 0..<MemoryLayout<Value>.size { value |= Value(truncatingIfNeeded: byte()) << (8 * index) }
        return value
    }

    /// The next bytes, at most `count`.
    mutating func bytes(_ count: Int) -> [UInt8] {
        let taken = Array(rest.prefix(count))
        rest = rest.dropFirst(count)
        return taken
    }

    /// All that is left.
    mutating func remainder() -> [UInt8] { bytes(rest.count) }
}

/// Lends the bytes in memory of exactly their size, so that AddressSanitizer sees a read one byte further.
func withExactMemory<Result>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
    defer { memory.deallocate() }
    memory.copyBytes(from: bytes)
    return try body(UnsafeRawBufferPointer(memory))
}
