/// Decides when the heap's free pages go back to the kernel: the allocator keeps what many connections needed, as long as
/// anything above it is in use.
///
/// A trim takes the loop's thread for up to 1 ms, and for up to 30 ms after thousands of connections (2 cores, 10,000 that end
/// at once). So it waits for a moment when nobody waits for a commit, and the number of connections has halved since the last
/// one: what it costs is spread over the connections that made it necessary.
struct HeapTrim {
    /// Connections at the most since the last trim.
    private var connectionCountMax = 0

    /// Asked regularly. True if this is the moment to trim.
    mutating func isDue(connectionCount: Int, isCommitting: Bool) -> Bool {
        connectionCountMax = max(connectionCountMax, connectionCount)
        guard !isCommitting, connectionCountMax >= ServiceLimits.trimmedConnectionsMin,
            connectionCount <= connectionCountMax / 2
        else { return false }
        connectionCountMax = connectionCount
        return true
    }
}
