import Glibc

@testable import AppendLogService
@testable import HTTPFrontEnd
@testable import LogFormat
@testable import LogStore

/// Input: lines, as values of the rarer headers of an append: conditions, entity tags, names and numbers of producers, keys;
/// and times, as a page query has them.
enum AppendTarget {
    static func run(_ input: [UInt8]) {
        for line in input.split(separator: 0x0A, maxSplits: 32).map(Array.init) {
            checkNoted(line)
            checkCondition(line)
            checkEntityTag(line)
            checkName(line)
            checkTime(line)
        }
    }

    /// A header is noted by its name alone, whatever its case; twice is told from once.
    private static func checkNoted(_ name: [UInt8]) {
        let names = ["if-match", "if-none-match", "idempotency-key", "producer-id", "producer-epoch", "producer-seq"]
        let lowercase = name.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        var summary = HeaderSummary()
        for round in 0..<2 {
            withExactMemory(name) { memory in
                summary.note(name: memory, value: UnsafeRawBufferPointer(rebasing: memory[..<0]))
            }
            let isKnown = names.contains { lowercase.elementsEqual($0.utf8) }
            require(summary.noted.isEmpty != isKnown, "a header is noted that is none of them, or is not")
            require(summary.repeated == (round == 0 ? [] : summary.noted), "a repeated header is not told")
        }
    }

    // MARK: Conditions

    private static func checkCondition(_ value: [UInt8]) {
        let expected = reference(value)
        require(
            withExactMemory(value, AppendCondition.init(tag:)) == expected, "a condition is read wrongly: \(value)")
        let quoted = [UInt8(ascii: "\"")] + value + [UInt8(ascii: "\"")]
        require(
            withExactMemory(quoted, AppendCondition.init(entityTag:)) == expected, "a quoted condition is read wrongly")
        for part in [value, Array(quoted.dropLast()), Array(quoted.dropFirst()), Array("W/".utf8) + quoted] {
            let isWhole = part.count > 2 && part.first == UInt8(ascii: "\"") && part.last == UInt8(ascii: "\"")
            require(
                isWhole || withExactMemory(part, AppendCondition.init(entityTag:)) == nil,
                "a condition without both quotes is taken")
        }
    }

    /// `next` or `id.next`, read by the standard library.
    private static func reference(_ value: [UInt8]) -> AppendCondition? {
        let parts = String(decoding: value, as: UTF8.self).split(separator: ".", omittingEmptySubsequences: false)
        let numbers = parts.map { part in
            part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(part) : nil
        }
        switch numbers.count {
        case 1: return numbers[0].map { .next(RecordOffset(rawValue: $0), log: nil) }
        case 2:
            guard let id = numbers[0], let next = numbers[1] else { return nil }
            return .next(RecordOffset(rawValue: next), log: LogID(rawValue: id))
        default: return nil
        }
    }

    // MARK: Entity tags

    /// A tag is named by a list that has it, and by no other.
    private static func checkEntityTag(_ header: [UInt8]) {
        let tag = EntityTag(opaque: "7.12-5.n")
        let isNamed = tag.isNamed(byIfNoneMatch: header)
        let text = String(decoding: header, as: UTF8.self)
        if isNamed { require(text.contains(tag.text) || text.contains("*"), "a tag is named by a list without it") }
        for front in ["\(tag.text)", "W/\(tag.text) ,", " ,\t\"other\" , \(tag.text),", "W/\"\",\(tag.text)  ,"] {
            let isEnded = front.hasSuffix(",") || header.isEmpty
            require(
                tag.isNamed(byIfNoneMatch: Array(front.utf8) + (isEnded ? header : Array(",".utf8) + header)),
                "a tag before others is not named")
        }
        let spaced = Array(" \t, ".utf8) + header + Array("\t ".utf8)
        require(tag.isNamed(byIfNoneMatch: spaced) == isNamed, "white space around a list makes a difference")
        if isNamed {
            let other = EntityTag(opaque: "7.12-6.n")
            require(
                text.contains("*") || text.contains(other.text) || !other.isNamed(byIfNoneMatch: header),
                "a list names a tag that it does not have")
        }
    }

    // MARK: Names and times

    private static func checkName(_ value: [UInt8]) {
        let isName = (1...128).contains(value.count) && value.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        require(withExactMemory(value, AppendHeaders.isName) == isName, "a name is judged wrongly")
    }

    /// A time that is taken is what the C library makes of its parts; written again it is the same.
    private static func checkTime(_ value: [UInt8]) {
        guard let time = RFC3339.parse(value) else { return }
        let text = Array(value.map { $0 & 0x80 == 0 ? $0 : 0 })
        let number = { (range: Range<Int>) in Int32(String(decoding: text[range], as: UTF8.self)) ?? -1 }
        var parts = tm()
        parts.tm_year = number(0..<4) - 1900
        parts.tm_mon = number(5..<7) - 1
        parts.tm_mday = number(8..<10)
        parts.tm_hour = number(11..<13)
        parts.tm_min = number(14..<16)
        parts.tm_sec = number(17..<19)
        let day = parts.tm_mday
        var seconds = timegm(&parts)
        require(parts.tm_mday == day, "a day is taken that there is not")
        if text.last! | 0x20 != UInt8(ascii: "z") {
            let zone = text.suffix(6)
            let minutes = String(decoding: zone.dropFirst(), as: UTF8.self).split(separator: ":").compactMap { Int($0) }
            let offset = (minutes[0] * 60 + minutes[1]) * 60
            seconds += zone.first == UInt8(ascii: "+") ? -offset : offset
        }
        let micros = Int64(clamping: time.rawValue)
        // A fraction is rounded up, so it may make a whole second more.
        require(
            seconds < 0
                ? micros <= 1_000_000
                : (micros - Int64(seconds) * 1_000_000) <= 1_000_000
                    && micros >= Int64(seconds) * 1_000_000, "a time is read wrongly")
        guard micros > 0 else { return }
        var json = JSONWriter()
        json.rawTime(time)
        if micros < 253_402_300_800_000_000 {
            require(RFC3339.parse(json.bytes) == time, "a time written again is read otherwise")
        }
    }
}
