# Every target builds what it needs. `make serve` and `make test` are all that a new user needs to know.
.PHONY: serve build test format lint bench

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

format:
	swift format --in-place --recursive Sources Tests Package.swift

lint:
	swift format lint --strict --recursive Sources Tests Package.swift

bench:
	scripts/install-dependencies build bench
	swift build -c release
	bench/run
