import Glibc
import Testing

struct MutantPatchTests {
    /// `make mutants` builds them; that takes minutes. That they fit the tree as it is now takes none.
    @Test func everyMutantStillApplies() {
        #expect(system("scripts/run-mutants --check") == 0, "see what it printed")
    }
}
