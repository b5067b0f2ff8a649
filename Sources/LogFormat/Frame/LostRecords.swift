/// What a frame of the kind `lost` says.
extension FrameView {
    /// The offsets of the records that it stands for; nil if it is of another kind, or makes no sense.
    public var lostRecords: Range<RecordOffset>? {
        guard header.kind == .lost, header.recordCount == 0, let value = unsafe fields.value(of: .count),
            value.count == 8
        else { return nil }
        let count: UInt64 = unsafe value.integer(at: 0)
        let (end, overflow) = header.firstOffset.rawValue.addingReportingOverflow(count)
        return overflow ? nil : header.firstOffset..<RecordOffset(rawValue: end)
    }
}

extension FrameHeader {
    /// The header and the fields of a frame that stands for lost records of a log.
    public static func lost(
        _ log: LogID, _ records: Range<RecordOffset>, timestamp: Timestamp
    ) -> (header: FrameHeader, fields: FieldWriter) {
        var fields = FieldWriter()
        let count = (records.upperBound.rawValue - records.lowerBound.rawValue).littleEndian
        unsafe withUnsafeBytes(of: count) { unsafe fields.append(.count, $0) }
        let header = FrameHeader(
            kind: .lost, recordCount: 0, logID: log, firstOffset: records.lowerBound, timestamp: timestamp,
            payloadBytes: 0)
        return (header, fields)
    }
}
