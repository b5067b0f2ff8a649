import CXXHash

/// A digest of a request's body, to tell a repeat from a misuse of its idempotency key: 128 bits of XXH3, keyed with a
/// digest of the media type. It guards against mistakes, not against forgery.
public struct BodyFingerprint: Hashable, Sendable {
    let low: UInt64
    let high: UInt64

    init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    public init(_ body: UnsafeRawBufferPointer, contentType: UnsafeRawBufferPointer? = nil) {
        let seed = unsafe contentType.map { unsafe XXH3_64bits($0.baseAddress, $0.count) } ?? 0
        let digest = unsafe XXH3_128bits_withSeed(body.baseAddress, body.count, seed)
        self.init(low: digest.low64, high: digest.high64)
    }
}
