import Glibc

/// The request methods that any route tells apart. Methods are case-sensitive (RFC 9110, 9.1).
public enum HTTPMethod: Sendable {
    case get, head, post, put, patch, delete, options
    /// Any other method; no route has it.
    case other

    /// Reads the NUL-terminated method of a request line.
    init(text: UnsafePointer<CChar>) {
        self =
            if unsafe Self.equal(text, "POST") {
                .post
            } else if unsafe Self.equal(text, "GET") {
                .get
            } else if unsafe Self.equal(text, "HEAD") {
                .head
            } else if unsafe Self.equal(text, "PUT") {
                .put
            } else if unsafe Self.equal(text, "PATCH") {
                .patch
            } else if unsafe Self.equal(text, "DELETE") {
                .delete
            } else if unsafe Self.equal(text, "OPTIONS") {
                .options
            } else {
                .other
            }
    }

    private static func equal(_ text: UnsafePointer<CChar>, _ name: StaticString) -> Bool {
        unsafe strcmp(text, UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)) == 0
    }
}
