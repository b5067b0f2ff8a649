/// The HTTP contract, built into the program.
enum Contract {
    /// The bytes of openapi.yaml.
    static let openAPI = PackageResources.openapi_yaml
}
