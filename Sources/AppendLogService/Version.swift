/// What this build calls itself.
public enum Version {
    /// Semantic version, as in CHANGELOG.md and openapi.yaml.
    public static let current = "0.1.0"
}
