/// The validator of a representation (RFC 9110, 8.8.3), always a strong one: equal tags mean equal bytes.
struct EntityTag: Equatable {
    /// What stands between the quotation marks: no quotation mark and no byte outside of visible ASCII.
    let opaque: String

    /// The tag as a header has it.
    var text: String { "\"\(opaque)\"" }

    /// Whether an `If-None-Match` header (RFC 9110, 13.1.2) names this tag: by `*`, or in a list, where a weak tag counts as
    /// a strong one. An element that is malformed ends the list. False without a header.
    func isNamed(byIfNoneMatch header: [UInt8]?) -> Bool {
        guard let header else { return false }
        var rest = Self.withoutFront(header[...])
        if rest.elementsEqual("*".utf8) { return true }
        while !rest.isEmpty {
            if rest.starts(with: "W/".utf8) { rest.removeFirst(2) }
            guard rest.first == UInt8(ascii: "\"") else { return false }
            rest.removeFirst()
            guard let end = rest.firstIndex(of: UInt8(ascii: "\"")) else { return false }
            if rest[..<end].elementsEqual(opaque.utf8) { return true }
            rest = Self.withoutSpace(rest[(end + 1)...])
            guard rest.isEmpty || rest.first == UInt8(ascii: ",") else { return false }
            rest = Self.withoutFront(rest)
        }
        return false
    }

    /// What is behind white space.
    private static func withoutSpace(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        bytes.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
    }

    /// What is behind white space and commas: elements may be empty; and without white space at the end.
    private static func withoutFront(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var rest = bytes.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: ",") }
        while let last = rest.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { rest.removeLast() }
        return rest
    }
}
