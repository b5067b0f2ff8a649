// swift-tools-version: 6.2
import PackageDescription

/// Settings of every shipped target: no warning passes, and every unsafe use is marked.
let shipped: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
]

/// The Testing macros do not pass under strict memory safety.
let tested: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "appendlog",
    products: [
        .library(name: "WriteAheadLog", targets: ["WriteAheadLog"]),
        .executable(name: "appendlog", targets: ["appendlog"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        .systemLibrary(name: "CLibURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "CMicroHTTPD", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
        .systemLibrary(name: "CISAL", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),

        .target(name: "CLinux"),
        // C++ behind a C header: Swift's own C++ interoperability would spread to every module above.
        .target(name: "CSimdJSON", linkerSettings: [.linkedLibrary("simdjson")]),
        .target(name: "URing", dependencies: ["CLibURing"], swiftSettings: shipped),
        .target(name: "LogFormat", dependencies: ["CISAL"], swiftSettings: shipped),
        .target(
            name: "CommitLog",
            dependencies: ["CLinux", "URing", "LogFormat", .product(name: "Histogram", package: "hdrhistogram-swift")],
            swiftSettings: shipped),
        .target(
            name: "WriteAheadLog",
            dependencies: [
                "CLinux", "CommitLog", "LogFormat", .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            swiftSettings: shipped),
        .target(name: "LogStore", dependencies: ["CommitLog", "LogFormat", "CXXHash"], swiftSettings: shipped),
        .target(name: "HTTPFrontEnd", dependencies: ["CLinux", "CMicroHTTPD"], swiftSettings: shipped),
        .target(
            name: "AppendLogService",
            dependencies: [
                "CLinux", "CSimdJSON", "LogFormat", "CommitLog", "WriteAheadLog", "LogStore", "HTTPFrontEnd",
                .product(name: "Logging", package: "swift-log"),
            ],
            // A link to the one at the top, which is the contract.
            resources: [.embedInCode("openapi.yaml")],
            swiftSettings: shipped),
        .executableTarget(
            name: "appendlog",
            dependencies: [
                "AppendLogService", "HTTPFrontEnd", "LogStore", "CommitLog",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: shipped),

        // Measures the public library; bench/embed drives it.
        .executableTarget(
            name: "wal-bench", dependencies: ["WriteAheadLog"], path: "bench/Embed", swiftSettings: tested),
        // Tests/PowerCut cuts the power under it.
        .executableTarget(
            name: "wal-power-writer", dependencies: ["WriteAheadLog"], path: "Tests/PowerCut/Writer",
            swiftSettings: tested),

        .testTarget(name: "URingTests", dependencies: ["URing"], swiftSettings: tested),
        .testTarget(name: "LogFormatTests", dependencies: ["LogFormat"], swiftSettings: tested),
        .testTarget(name: "CommitLogTests", dependencies: ["CommitLog"], swiftSettings: tested),
        .testTarget(name: "WriteAheadLogTests", dependencies: ["WriteAheadLog", "LogStore"], swiftSettings: tested),
        .testTarget(name: "LogStoreTests", dependencies: ["LogStore"], swiftSettings: tested),
        .testTarget(name: "SimulationTests", dependencies: ["LogStore", "WriteAheadLog"], swiftSettings: tested),
        .testTarget(name: "HTTPFrontEndTests", dependencies: ["HTTPFrontEnd"], swiftSettings: tested),
        .testTarget(
            name: "ServiceTests", dependencies: ["AppendLogService", "WriteAheadLog", "appendlog"],
            swiftSettings: tested),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// The parsers under hostile bytes. The same sources are a test, which replays the saved inputs, and with
// APPENDLOG_FUZZ in the environment (scripts/run-fuzz) a program driven by libFuzzer, which only such a build has.
let fuzzed: [Target.Dependency] = ["LogFormat", "CommitLog", "LogStore", "HTTPFrontEnd", "AppendLogService"]
if Context.environment["APPENDLOG_FUZZ"] == nil {
    package.targets.append(
        .testTarget(
            name: "FuzzTests", dependencies: fuzzed, path: "Tests/Fuzz", exclude: ["Driver", "Corpus"],
            swiftSettings: tested))
} else {
    package.targets.append(
        .executableTarget(
            name: "appendlog-fuzz", dependencies: fuzzed, path: "Tests/Fuzz", exclude: ["Replay", "Corpus"],
            swiftSettings: tested))
}
