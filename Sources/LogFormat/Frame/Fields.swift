/// The optional fields of a frame. A type that is not listed here refuses the frame that has it.
public enum FieldKind: UInt16, CaseIterable, Sendable {
    /// Who appended: producer id, epoch and sequence number.
    case producer = 1
    /// The key under which a repeat of the request is recognised.
    case idempotencyKey
    /// A digest of the request's body, to tell a repeat from a misuse of its key.
    case bodyFingerprint
    /// The media type of the records or of the log.
    case contentType
    /// The place of this frame in an append to several logs: u64 id, u32 index, u32 count.
    case group
    /// The name of the log, in UTF-8.
    case logName
    /// The configuration of the log.
    case configuration
    /// How many records a frame of the kind `lost` stands for: u64.
    case count
}

/// The layout of a field: u16 type, u16 value bytes, value, zeros to a multiple of 8.
private enum FieldLayout {
    static let headerBytes = 4

    static func byteCount(valueBytes: Int) -> Int {
        roundUp(headerBytes + valueBytes, toMultipleOf: 8)
    }
}

/// One field of a frame; `value` lies in the frame's bytes.
@safe
public struct Field {
    public let kind: FieldKind
    public let value: UnsafeRawBufferPointer
}

/// Encodes the fields of a frame. Kept and reused (`removeAll`) it allocates only until it has grown once.
public struct FieldWriter: Sendable {
    /// The fields so far, as `BatchBuilder.addFrame` takes them.
    public private(set) var bytes: [UInt8] = []

    public init() {}

    /// Whether a field with a value of `valueBytes` can still be added.
    public func fits(valueBytes: Int) -> Bool {
        FieldLayout.byteCount(valueBytes: valueBytes) <= FrameHeader.fieldsBytesMax - bytes.count
    }

    /// Adds a field. Traps if it does not fit.
    public mutating func append(_ kind: FieldKind, _ value: UnsafeRawBufferPointer) {
        precondition(fits(valueBytes: value.count), "the field does not fit the frame")
        let end = bytes.count + FieldLayout.byteCount(valueBytes: value.count)
        bytes.reserveCapacity(end)
        append(kind.rawValue)
        append(UInt16(value.count))
        unsafe bytes.append(contentsOf: value)
        bytes.append(contentsOf: repeatElement(0, count: end - bytes.count))
    }

    /// Adds a field. Traps if it does not fit.
    public mutating func append(_ kind: FieldKind, _ value: [UInt8]) {
        unsafe value.withUnsafeBytes { unsafe append(kind, $0) }
    }

    /// Forgets all fields and keeps the memory.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ number: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: number))
        bytes.append(UInt8(truncatingIfNeeded: number >> 8))
    }
}

/// Iterates the fields of a frame in their order. It owns no memory: the frame's bytes must outlive it.
@safe
public struct FieldReader: Sequence, IteratorProtocol {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    /// Checks all fields: known types, lengths inside `bytes`, zero padding.
    public init(checking bytes: UnsafeRawBufferPointer) throws(FormatError) {
        unsafe self.init(checked: bytes)
        var walk = self
        while try walk.read() != nil {}
    }

    init(checked bytes: UnsafeRawBufferPointer) {
        unsafe self.bytes = unsafe bytes
    }

    /// The next field, nil behind the last.
    public mutating func next() -> Field? {
        do {
            return try read()
        } catch {
            preconditionFailure("the fields were changed after they had been checked")
        }
    }

    /// The value of the first field of this kind among those not yet read; nil if there is none.
    public func value(of kind: FieldKind) -> UnsafeRawBufferPointer? {
        for field in self where field.kind == kind { return unsafe field.value }
        return nil
    }

    private mutating func read() throws(FormatError) -> Field? {
        let remainingBytes = unsafe bytes.count - offset
        guard remainingBytes > 0 else { return nil }
        guard remainingBytes >= FieldLayout.headerBytes else { throw .badField }
        let type: UInt16 = unsafe bytes.integer(at: offset)
        guard let kind = FieldKind(rawValue: type) else { throw .unknownField(type) }
        let valueBytes = Int(unsafe bytes.integer(at: offset + 2, as: UInt16.self))
        let valueStart = offset + FieldLayout.headerBytes
        let end = offset + FieldLayout.byteCount(valueBytes: valueBytes)
        guard unsafe end <= bytes.count else { throw .badField }
        guard unsafe bytes.isZero(in: valueStart + valueBytes..<end) else { throw .nonZeroPadding }
        offset = end
        return unsafe Field(kind: kind, value: bytes.part(valueStart..<valueStart + valueBytes))
    }
}
