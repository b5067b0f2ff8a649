extension LogStore {
    /// The settings as all requests so far make them: what a further change starts from, shown to nobody.
    public func sequencedSettings(_ slot: LogSlot) -> LogSettings {
        table[slot].settingsSequenced?.settings ?? LogSettings()
    }
}
