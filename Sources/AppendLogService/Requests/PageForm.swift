/// The forms in which a page of records is given, the preferred one first.
enum PageForm: CaseIterable, Equatable {
    /// One JSON object a line.
    case lines
    /// Each record behind its length, a little-endian u32.
    case framed
    /// The records' bytes, one behind the other.
    case raw

    var mediaType: StaticString {
        switch self {
        case .lines: MediaType.lines
        case .framed: MediaType.framed
        case .raw: MediaType.bytes
        }
    }

    /// What stands for the form in an entity tag.
    var tagLetter: Character {
        switch self {
        case .lines: "n"
        case .framed: "f"
        case .raw: "r"
        }
    }

    /// The form that an `Accept` header wants most (RFC 9110, 12.5.1): of those with the highest quality the first one.
    /// Nil if it wants none of them; `lines` if there is no header or an empty one.
    static func accepted(by header: [UInt8]?) -> PageForm? {
        guard let header, !header.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) else {
            return .lines
        }
        return best(in: MediaRange.list(header))?.form
    }

    /// Whether an `Accept` header wants server-sent events more than any form of a page.
    static func isOutweighedByEvents(_ header: [UInt8]?) -> Bool {
        guard let header else { return false }
        let ranges = MediaRange.list(header)
        return MediaRange.quality(of: "\(MediaType.events)", in: ranges) > best(in: ranges)?.quality ?? 0
    }

    private static func best(in ranges: [MediaRange]) -> (form: PageForm, quality: Int)? {
        var best: (form: PageForm, quality: Int)?
        for form in allCases {
            let quality = MediaRange.quality(of: "\(form.mediaType)", in: ranges)
            if quality > best?.quality ?? 0 { best = (form, quality) }
        }
        return best
    }
}

/// One element of an `Accept` header: `type/subtype`, `type/*` or `*/*`, and its weight.
private struct MediaRange {
    /// In lower case.
    let type: String
    let subtype: String
    /// The weight in thousandths, 0 excludes.
    let quality: Int

    /// Nil for an element that is malformed, which then counts for nothing. Parameters but the weight are ignored.
    init?(_ element: ArraySlice<UInt8>) {
        let parts = element.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map(Self.trimmed)
        let names = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard names.count == 2, !names[0].isEmpty, !names[1].isEmpty else { return nil }
        guard names[0] != "*" || names[1] == "*" else { return nil }
        type = String(names[0])
        subtype = String(names[1])
        var quality = 1_000
        for parameter in parts.dropFirst() where parameter.hasPrefix("q=") {
            guard let value = Self.weight(parameter.dropFirst(2)) else { return nil }
            quality = value
        }
        self.quality = quality
    }

    /// The elements of a header that are not malformed.
    static func list(_ header: [UInt8]) -> [MediaRange] {
        header.split(separator: UInt8(ascii: ",")).compactMap { MediaRange($0) }
    }

    /// The quality that the most specific range gives to a media type; 0 if none matches.
    static func quality(of mediaType: String, in ranges: [MediaRange]) -> Int {
        var best = (specificity: 0, quality: 0)
        for range in ranges {
            let specificity = range.specificity(for: mediaType)
            if specificity > best.specificity { best = (specificity, range.quality) }
        }
        return best.quality
    }

    /// 3 for the type itself, 2 for `type/*`, 1 for `*/*`, 0 if it does not match.
    private func specificity(for mediaType: String) -> Int {
        if type == "*" { return 1 }
        if subtype == "*" { return mediaType.hasPrefix("\(type)/") ? 2 : 0 }
        return mediaType == "\(type)/\(subtype)" ? 3 : 0
    }

    /// Thousandths of `0`, `0.5`, `0.125`, `1`, `1.000` (RFC 9110, 12.4.2).
    private static func weight(_ text: Substring) -> Int? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, whole == "0" || whole == "1" else { return nil }
        let fraction = parts.count == 2 ? parts[1] : ""
        guard fraction.utf8.count <= 3 else { return nil }
        var thousandths = 0
        for digit in fraction.utf8 {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            thousandths = thousandths * 10 + Int(digit - UInt8(ascii: "0"))
        }
        for _ in fraction.utf8.count..<3 { thousandths *= 10 }
        let value = (whole == "1" ? 1_000 : 0) + thousandths
        return value <= 1_000 ? value : nil
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
        let isSpace = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        let front = bytes.drop(while: isSpace)
        let end = front.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? front.startIndex
        return String(decoding: front[..<end].map(MediaType.lowercased), as: UTF8.self)
    }
}
