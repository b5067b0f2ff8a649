import Glibc

/// Standard output, and standard error for what went wrong.
enum StandardOutput {
    /// Writes all of it. A reader that has gone ends the process, as it does for any tool in a pipe.
    static func write(_ text: String) {
        write(Array(text.utf8))
    }

    static func write(_ bytes: [UInt8]) {
        write(bytes, to: STDOUT_FILENO)
    }

    /// Writes a line to standard error.
    static func complain(_ text: String) {
        write(Array("appendlog: \(text)\n".utf8), to: STDERR_FILENO)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        unsafe bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let count = unsafe Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
                if count < 0 && errno == EINTR { continue }
                // A full disk or a closed descriptor: whoever reads the output must not take it for complete.
                guard count > 0 else { exit(74) }
                done += count
            }
        }
    }
}
