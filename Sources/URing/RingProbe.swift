/// Whether this process is given a ring here.
public enum RingProbe {
    /// Sets up a tiny ring, enables it and enters it once (a sandbox may refuse any of the three), then gives it back.
    /// - Returns: nil if all went well, else the refusal.
    public static func denialReason() -> RingError? {
        do throws(RingError) {
            var ring = try Ring(entries: 1)
            try ring.restrictAndEnable()
            var completions: [RingCompletion] = []
            try ring.submitAndWait(timeoutMicroseconds: 0, into: &completions)
            ring.close()
            return nil
        } catch {
            return error
        }
    }
}
