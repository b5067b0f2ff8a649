import Testing

@testable import AppendLogService

@Suite struct EntityTagTests {
    private func isNamed(by header: String?) -> Bool {
        EntityTag(opaque: "a.1").isNamed(byIfNoneMatch: header.map { Array($0.utf8) })
    }

    @Test(arguments: [
        "*", " * ", "\"a.1\"", "W/\"a.1\"", " \"a.1\"\t", "\"b\", \"a.1\"", "\"b\",\"a.1\"", "\"b\" ,W/\"a.1\" , \"c\"",
        ",, \"a.1\"", "\"\", \"a.1\"", "\"with, comma\", \"a.1\"", "\"a.1\", \"a.1\"", "\"a.1\" garbage",
    ])
    func aListThatHasTheTagNamesIt(_ header: String) {
        #expect(isNamed(by: header))
    }

    @Test(arguments: [
        nil, "", " ", ",", "a.1", "\"a.1", "a.1\"", "\"A.1\"", "\"a.10\"", "\"a\"", "w/\"a.1\"", "W/ \"a.1\"", "W/a.1",
        "\"b\" \"a.1\"", "\"b\"\"a.1\"", "\"*\"", "**", "* , \"b\"", "\"b\", *", "\"x\", a.1", "\" a.1\"",
        "\"x,\"a.1\"\"",
    ])
    func anythingElseDoesNot(_ header: String?) {
        #expect(!isNamed(by: header))
    }
}
