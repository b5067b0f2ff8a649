import LogFormat

extension LogStore {
    /// An offset at or before the first record that is not older than a time.
    func offset(in slot: LogSlot, before time: Timestamp) -> RecordOffset {
        table[slot].first
    }
}
