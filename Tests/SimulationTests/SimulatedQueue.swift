@testable import CommitLog

/// The maintenance jobs, one after another, performed a few calls at a time when the device draws them: the loop's steps
/// fall between them. Only one thread uses it at a time.
final class SimulatedQueue: MaintenanceQueue, @unchecked Sendable {
    private let disk: SimulatedDisk
    private let coroutine: Coroutine
    private var jobs: [Maintenance.Job] = []
    private var outcomes: [Maintenance.Outcome] = []
    var perform: (@Sendable (Maintenance.Job) -> Maintenance.Outcome)?

    init(_ disk: SimulatedDisk) {
        self.disk = disk
        coroutine = disk.maintenance
    }

    let outcomeDescriptor: Int32 = -1
    let runsBesideTheLoop = false
    var hasJobs: Bool { !jobs.isEmpty || coroutine.isUnderWay }
    var hasOutcomes: Bool { !outcomes.isEmpty }

    func post(_ job: Maintenance.Job) { jobs.append(job) }

    /// Lets the oldest job go on for so many calls, or to its end.
    func perform(calls: Int) {
        if !coroutine.isUnderWay {
            let job = jobs.removeFirst()
            coroutine.begin { [unowned self] in outcomes.append(perform!(job)) }
        }
        coroutine.resume(calls: calls)
    }

    func takeOutcomes() -> [Maintenance.Outcome] {
        defer { outcomes = [] }
        return outcomes
    }

    /// On a dead machine the job under way ends by its failing calls, and no other is begun.
    func stop() {
        while coroutine.isUnderWay || (hasJobs && !disk.isDead) { perform(calls: .max) }
    }
}
