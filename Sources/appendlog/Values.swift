import AppendLogService
import ArgumentParser
import CommitLog
import Logging

/// Bytes: a decimal number, or one with KiB or MiB behind it.
struct ByteSize: ExpressibleByArgument {
    /// Sums of a few sizes never overflow.
    static let bytesMax = 1 << 48

    let bytes: Int

    init(bytes: Int) {
        self.bytes = bytes
    }

    init?(argument: String) {
        let units = [(suffix: "KiB", bytes: 1 << 10), (suffix: "MiB", bytes: 1 << 20), (suffix: "", bytes: 1)]
        guard let unit = units.first(where: { argument.hasSuffix($0.suffix) }) else { return nil }
        guard let count = Self.decimal(argument.dropLast(unit.suffix.count)) else { return nil }
        let (bytes, overflows) = count.multipliedReportingOverflow(by: unit.bytes)
        guard !overflows, (1...Self.bytesMax).contains(bytes) else { return nil }
        self.bytes = bytes
    }

    private static func decimal(_ text: Substring) -> Int? {
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return Int(text)
    }
}

/// A whole number that is not negative, and small enough that seconds can be counted in microseconds.
struct NaturalNumber: ExpressibleByArgument {
    static let valueMax = 1 << 31

    let value: Int

    init(_ value: Int) {
        self.value = value
    }

    init?(argument: String) {
        guard let value = Int(argument), (0...Self.valueMax).contains(value) else { return nil }
        self.value = value
    }
}

/// A whole number from 1 on, as large as a `NaturalNumber` at most.
struct PositiveNumber: ExpressibleByArgument {
    let value: Int

    init(_ value: Int) {
        self.value = value
    }

    init?(argument: String) {
        guard let value = Int(argument), (1...NaturalNumber.valueMax).contains(value) else { return nil }
        self.value = value
    }
}

/// `true` or `false`.
struct Choice: ExpressibleByArgument {
    let isTrue: Bool

    init(_ isTrue: Bool) {
        self.isTrue = isTrue
    }

    init?(argument: String) {
        guard let isTrue = Bool(argument) else { return nil }
        self.isTrue = isTrue
    }
}

extension EngineChoice: ExpressibleByArgument {}
extension ModeChoice: ExpressibleByArgument {}
extension LogLineFormat: ExpressibleByArgument {}

/// A level of swift-log.
struct LogLevel: ExpressibleByArgument {
    let level: Logger.Level

    init(_ level: Logger.Level) {
        self.level = level
    }

    init?(argument: String) {
        guard let level = Logger.Level(rawValue: argument) else { return nil }
        self.level = level
    }
}
