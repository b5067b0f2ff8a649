/// How much is known of those who append, over all logs.
public struct IdentityLimits: Sendable {
    /// Producers that are known at a time; beyond it new ones are refused.
    public var producersMax = LogStoreLimits.producersDefault
    /// Idempotency keys that are known at a time; beyond it new ones are refused.
    public var keysMax = LogStoreLimits.keysDefault
    /// Seconds for which an idempotency key is known.
    public var keyWindowSeconds = LogStoreLimits.keyWindowSecondsDefault

    /// The last answers of a producer that a repeat can get; those in flight are not counted.
    var producerAnswersKept = LogStoreLimits.producerAnswersKept

    public init() {}
}
