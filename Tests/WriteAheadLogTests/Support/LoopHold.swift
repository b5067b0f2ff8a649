import Foundation

@testable import CommitLog
@testable import WriteAheadLog

extension WriteAheadLog {
    /// Accepts a record of which the loop is not told, as `appendAndWait` does before it waits.
    func stage(_ record: [UInt8]) throws(WriteAheadLogError) -> CompletionToken {
        try loop.append(records: 1, bytes: record.count, wakes: false) { lengths, payload in
            lengths.storeBytes(of: UInt32(record.count).littleEndian, as: UInt32.self)
            payload.copyBytes(from: record)
        }
    }

    func look<Value>(_ body: (CommitLog) -> Value) throws -> Value { try loop.withRecords { body($0.log) } }

    /// Keeps the loop's thread in a callback until the test lets it go.
    func occupyLoop() throws -> LoopHold {
        let hold = LoopHold()
        let token = try stage([1])
        token.whenCompleted { _ in hold.block() }
        try submitPending()
        hold.entered.wait()
        return hold
    }
}

final class LoopHold: Sendable {
    let entered = DispatchSemaphore(value: 0)
    private let end = DispatchSemaphore(value: 0)

    fileprivate func block() {
        entered.signal()
        end.wait()
    }

    func release() { end.signal() }
}

/// Runs a body on a thread of its own; says when it has ended.
func onThread(_ body: @escaping @Sendable () -> Void) -> DispatchSemaphore {
    let ended = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        body()
        ended.signal()
    }
    return ended
}

extension DispatchSemaphore {
    /// Whether it is signalled within a generous time.
    var comes: Bool { wait(timeout: .now() + 20) == .success }
}
