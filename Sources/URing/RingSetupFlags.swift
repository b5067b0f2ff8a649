import CLibURing

/// How the ring was set up (`IORING_SETUP_…`).
public struct RingSetupFlags: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The ring starts disabled, so that restrictions can be registered (Linux 5.10).
    public static let startsDisabled = Self(rawValue: IORING_SETUP_R_DISABLED)
    /// A submission that is refused does not keep the ones behind it back (Linux 5.18).
    public static let submitsAll = Self(rawValue: IORING_SETUP_SUBMIT_ALL)
    /// Completions do not interrupt the thread in user mode (Linux 5.19).
    public static let cooperative = Self(rawValue: IORING_SETUP_COOP_TASKRUN)
    /// One thread submits (Linux 6.0).
    public static let singleIssuer = Self(rawValue: IORING_SETUP_SINGLE_ISSUER)
    /// Completions appear only when the thread asks for them in the kernel (Linux 6.1).
    public static let deferred = Self(rawValue: IORING_SETUP_DEFER_TASKRUN)

    /// The sets that are tried, newest kernel first.
    static let attempts: [Self] = [
        [.startsDisabled, .submitsAll, .singleIssuer, .deferred],
        [.startsDisabled, .submitsAll, .singleIssuer, .cooperative],
        [.startsDisabled, .submitsAll, .cooperative],
        [.startsDisabled, .submitsAll],
        [.startsDisabled],
    ]
}
