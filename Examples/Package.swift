// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "examples",
    dependencies: [
        // Your own package names the repository here: .package(url: "https://…/appendlog", branch: "main").
        .package(name: "appendlog", path: "..")
    ],
    targets: [
        .executableTarget(name: "JobQueue", dependencies: [.product(name: "WriteAheadLog", package: "appendlog")]),
        .executableTarget(name: "EventCounter", dependencies: [.product(name: "WriteAheadLog", package: "appendlog")]),
    ]
)
