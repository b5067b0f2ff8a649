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
}
