import LogFormat

/// The names of everything in a data directory.
public struct DataDirectory: Sendable, Equatable {
    public let path: String

    public init(path: String) {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    /// The directory that this one is named in.
    public var parentPath: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    public var lockPath: String { "\(path)/LOCK" }
    public var segmentsPath: String { "\(path)/wal" }
    public var checkpointsPath: String { "\(path)/checkpoint" }
    public var tornPath: String { "\(path)/torn" }

    /// "00000000000000000000.seg": named by the position of its first byte.
    public static func segmentName(_ position: Position) -> String { padded(position.rawValue) + ".seg" }
    /// The index of a sealed segment stands beside it.
    public static func indexName(_ position: Position) -> String { padded(position.rawValue) + ".idx" }
    /// A checkpoint is named by the last batch that it covers.
    public static func checkpointName(_ through: BatchNumber) -> String { padded(through.rawValue) + ".ckpt" }

    public func segmentPath(_ position: Position) -> String { "\(segmentsPath)/\(Self.segmentName(position))" }
    public func indexPath(_ position: Position) -> String { "\(segmentsPath)/\(Self.indexName(position))" }

    /// The number that a name of this ending stands for; nil if the name is not one of ours.
    static func number(of name: String, ending: String) -> UInt64? {
        guard name.hasSuffix(ending) else { return nil }
        let digits = name.dropLast(ending.count)
        guard digits.utf8.count == 20, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(digits)
    }

    private static func padded(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 20 - digits.utf8.count) + digits
    }
}
