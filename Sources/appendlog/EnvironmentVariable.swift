import ArgumentParser
import Glibc

/// What a flag's value is when it is not on the command line: that of its environment variable, else the default.
enum EnvironmentVariable {
    /// `name` is the flag's, as in "data-dir"; the variable is then APPENDLOG_DATA_DIR.
    static func value<Value: ExpressibleByArgument>(
        of name: String, flag: Value?, expecting description: String, default missing: @autoclosure () -> Value
    ) throws -> Value {
        try value(of: name, flag: flag, expecting: description) ?? missing()
    }

    /// The same without a default.
    static func value<Value: ExpressibleByArgument>(
        of name: String, flag: Value?, expecting description: String
    ) throws -> Value? {
        if let flag { return flag }
        let variable = variable(for: name)
        guard let start = unsafe getenv(variable) else { return nil }
        let text = unsafe String(cString: start)
        guard let value = Value(argument: text) else {
            throw ValidationError("The environment variable \(variable) is '\(text)'; it must be \(description).")
        }
        return value
    }

    static func variable(for name: String) -> String {
        "APPENDLOG_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }

    /// The flags of `serve` that have a variable: all of them.
    static let flags = [
        "data-dir", "listen", "allow-unsafe-filesystem", "request-body-bytes-max", "record-bytes-max",
        "records-per-request-max", "pending-bytes-max", "auto-create", "connections-max", "header-deadline-seconds",
        "body-deadline-seconds", "body-rate-bytes-min", "idle-timeout-seconds", "keep-alive-seconds", "subscribers-max",
        "keys-max",
        "key-window-seconds", "producers-max", "segment-bytes",
        "batch-bytes-max",
        "commit-linger-microseconds", "engine", "mode", "drain-deadline-seconds", "log-level", "log-format",
    ]

    /// Throws for a variable that looks like a flag's and is none: a limit that was misspelt must not go unnoticed.
    static func refuseUnknown() throws {
        let known = flags.map(variable)
        for name in names() where name.hasPrefix("APPENDLOG_") && !known.contains(name) && !isOfKubernetes(name) {
            let nearest = known.min { distance(name, $0) < distance(name, $1) }
            throw ValidationError("There is no environment variable \(name). Is \(nearest ?? "") meant?")
        }
    }

    /// What Kubernetes sets in every container beside a service that is named `appendlog`.
    private static func isOfKubernetes(_ name: String) -> Bool {
        name == "APPENDLOG_PORT" || name.hasPrefix("APPENDLOG_PORT_") || name.hasPrefix("APPENDLOG_SERVICE_")
    }

    private static func names() -> [String] {
        var names: [String] = []
        var entry = unsafe environ
        while let text = unsafe entry.pointee {
            names.append(String(unsafe String(cString: text).prefix { $0 != "=" }))
            unsafe entry += 1
        }
        return names
    }

    /// How many letters have to be added, taken away or changed to make one name of the other (Levenshtein).
    static func distance(_ one: String, _ other: String) -> Int {
        let other = Array(other.utf8)
        var row = Array(0...other.count)
        for (place, letter) in one.utf8.enumerated() {
            var diagonal = row[0]
            row[0] = place + 1
            for index in other.indices {
                let changed = diagonal + (letter == other[index] ? 0 : 1)
                diagonal = row[index + 1]
                row[index + 1] = min(changed, row[index] + 1, diagonal + 1)
            }
        }
        return row[other.count]
    }
}
