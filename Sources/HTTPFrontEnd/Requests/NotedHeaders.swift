/// Headers that few requests carry. The one walk over the header lines notes them, so that nobody looks for them in
/// requests that have none: each look-up is another walk.
public struct NotedHeaders: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let ifMatch = NotedHeaders(rawValue: 1)
    public static let ifNoneMatch = NotedHeaders(rawValue: 2)
    public static let idempotencyKey = NotedHeaders(rawValue: 4)
    public static let producerID = NotedHeaders(rawValue: 8)
    public static let producerEpoch = NotedHeaders(rawValue: 16)
    public static let producerSequence = NotedHeaders(rawValue: 32)

    /// The three headers of a producer.
    public static let producer: NotedHeaders = [.producerID, .producerEpoch, .producerSequence]

    /// The header of this name; empty for any other.
    init(name: UnsafeRawBufferPointer) {
        self =
            switch name.count {
            case 8 where unsafe HeaderSummary.equal(name, "if-match"): .ifMatch
            case 11 where unsafe HeaderSummary.equal(name, "producer-id"): .producerID
            case 12 where unsafe HeaderSummary.equal(name, "producer-seq"): .producerSequence
            case 13 where unsafe HeaderSummary.equal(name, "if-none-match"): .ifNoneMatch
            case 14 where unsafe HeaderSummary.equal(name, "producer-epoch"): .producerEpoch
            case 15 where unsafe HeaderSummary.equal(name, "idempotency-key"): .idempotencyKey
            default: []
            }
    }
}
