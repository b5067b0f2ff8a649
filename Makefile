# Every target builds what it needs. `make serve` and `make test` are all that a new user needs to know.
.PHONY: serve build test test-asan test-tsan simulate mutants powercut fuzz format lint bench docs

serve:
	scripts/install-dependencies build
	swift build -c release
	exec .build/release/appendlog serve --data-dir ./data --listen 127.0.0.1:4437

build:
	scripts/install-dependencies build
	swift build -c release

test:
	scripts/install-dependencies build test
	swift build
	swift test
	scripts/run-blackbox-tests

# All tests under AddressSanitizer and under ThreadSanitizer.
test-asan:
	scripts/install-dependencies build test
	scripts/run-sanitized-tests address

test-tsan:
	scripts/install-dependencies build test
	scripts/run-sanitized-tests thread

# The seeded simulator alone: SEEDS seeds from FIRST on, with optimisation.
SEEDS ?= 20000
FIRST ?= 1
simulate:
	scripts/install-dependencies build test
	SIMULATE_SEEDS=$(SEEDS) SIMULATE_FIRST=$(FIRST) \
		swift test -c release -Xswiftc -enable-testing --scratch-path .build/simulate --filter SimulationTests

# Wrong builds, each of which the simulator, the recovery table or the power cuts must catch. Some: make mutants MUTANTS="no-epoch"
MUTANTS ?=
mutants:
	scripts/install-dependencies build test
	scripts/run-mutants $(MUTANTS)

# Power cuts on a real file system, CUTS of them in each mode (half of them with each engine), and a quarter of that on xfs.
# Needs root, /dev/fuse and loop devices. One more seed: make powercut SEED=...
CUTS ?= 2000
SEED ?= 20261123
powercut:
	scripts/install-dependencies build test
	swift build
	Tests/PowerCut/run --seed $(SEED) --cuts $$(($(CUTS) / 2))
	Tests/PowerCut/run --seed $(SEED) --cuts $$(($(CUTS) / 8)) --fs xfs

format:
	swift format --in-place --recursive Sources Tests Examples Package.swift

lint:
	swift format lint --strict --recursive Sources Tests Examples Package.swift

# The documentation of the library, into .build/documentation. A link that leads nowhere is an error.
docs:
	scripts/install-dependencies build
	scripts/build-documentation

bench:
	scripts/install-dependencies build bench
	swift build -c release
	bench/run
	bench/embed --rounds 3 --no-build

# The parsers under libFuzzer and AddressSanitizer: SECONDS for each target of TARGETS (all).
SECONDS ?= 60
TARGETS ?=
fuzz:
	scripts/install-dependencies build test
	FUZZ_SECONDS=$(SECONDS) scripts/run-fuzz $(TARGETS)
