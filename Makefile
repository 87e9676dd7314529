# Everything a person or CI does with the project. A bare Debian or Ubuntu needs no more than
# git, curl and make: what is missing is installed first, and nothing where nothing is missing.

CARGO_BIN := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# A freshly installed cargo, the project's own linters, and administrators' commands such as
# nft, which are not in every user's PATH.
export PATH := $(CARGO_BIN):$(CURDIR)/.tools/bin:$(CURDIR)/.tools/python/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

# The locked versions and no others. While adding a dependency: make build LOCKED=
LOCKED ?= --locked
LAB := target/debug/onlyhere-lab

REPEAT ?= 1
JOBS ?= 2
LOAD ?=
FILTER ?=
KILLS ?= 200
SEED ?= 1
SECONDS ?= 60
TARGETS ?=

.DEFAULT_GOAL := help
.PHONY: help build demo test test-unit test-lab test-durability test-units test-formats test-hostile fuzz units sbom bench bench-diagnosis lint fmt-check clippy docs deny proto-lint \
	shell-lint unused-deps build-tools demo-services lab-services lint-tools fuzz-tools clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

build: build-tools ## Build all programs into target/debug
	cargo build --workspace --bins $(LOCKED)

demo: build demo-services ## A small internet on this machine, a real ban, and the verdict
	$(LAB) demo

# Built in one go with the tests, so that no dependency is compiled a second time with other features.
test: build-tools lab-services ## All tests: unit, property, integration, and the lab once
	cargo build --workspace --bins --tests $(LOCKED)
	cargo test --workspace $(LOCKED)
	deploy/dev/run-lab.sh run --repeat 1 --jobs $(JOBS)
	deploy/dev/run-lab.sh guard

test-unit: build-tools lab-services ## All tests but the lab's scenarios
	cargo test --workspace $(LOCKED)

test-lab: build lab-services ## The lab's scenarios: REPEAT=1 JOBS=2 FILTER=name LOAD=1
	deploy/dev/run-lab.sh run --repeat $(REPEAT) --jobs $(JOBS) $(if $(FILTER),--filter '$(FILTER)') $(if $(LOAD),--load)

test-guard: build lab-services ## Ask a probe for all that it must not try, and count the packets: FILTER=text
	deploy/dev/run-lab.sh guard $(if $(FILTER),--filter '$(FILTER)')

test-formats: build lab-services ## Every scope and exit code in every format, through the real program, with a table
	deploy/dev/run-lab.sh formats $(if $(FILTER),--filter '$(FILTER)')

test-hostile: build lab-services ## Hostile targets, names and probes against the real programs: FILTER=name
	deploy/dev/run-lab.sh hostile $(if $(FILTER),--filter '$(FILTER)')

test-durability: build-tools ## Kill the coordinator 200 times while it serves: KILLS= SEED=
	ONLYHERE_KILLS=$(KILLS) ONLYHERE_SEED=$(SEED) cargo test $(LOCKED) -p onlyhere-coordinator --test durability -- --nocapture

test-units: build ## The systemd units, run for real in a small Debian of their own (root; 77 where it cannot)
	deploy/dev/test-units.sh

fuzz: fuzz-tools ## Throw bytes at everything that reads strangers' bytes: SECONDS=60 TARGETS='target guard'
	deploy/dev/fuzz.sh $(SECONDS) $(TARGETS)

units: ## Are the systemd units in order, and how much do they leave open?
	deploy/dev/check-units.sh

sbom: build-tools ## The software bill of materials, CycloneDX, into target/sbom
	deploy/dev/sbom.sh

bench: build-tools ## Measure how fast the diagnosis and the probes are
	cargo bench $(LOCKED) -p onlyhere-diagnosis -p onlyhere-probe-node --bench speed --bench connect

bench-diagnosis: build-tools ## Measure how often the diagnosis is right: CASES= SEED= POOL= NOISE= CLASS= QUICK=1
	cargo bench $(LOCKED) -p onlyhere-diagnosis --bench accuracy

lint: fmt-check clippy docs deny proto-lint shell-lint unused-deps ## All checks that need no run
	deploy/dev/check-advisories.sh || [ $$? -eq 77 ]

fmt-check: build-tools
	cargo fmt --all --check
	cd tests/fuzz && cargo fmt --check

clippy: build-tools
	cargo clippy --workspace --all-targets $(LOCKED) -- -D warnings

docs: build-tools
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps $(LOCKED)

deny: lint-tools
	cargo deny $(LOCKED) check bans licenses sources

proto-lint: lint-tools
	cd proto && buf lint

shell-lint: lint-tools
	shellcheck --external-sources $$(git ls-files '*.sh') .ci/run

unused-deps: lint-tools
	cargo machete

build-tools:
	@deploy/dev/install-build-tools.sh

demo-services:
	@deploy/dev/install-lab-services.sh demo

lab-services:
	@deploy/dev/install-lab-services.sh

lint-tools:
	@deploy/dev/install-lint-tools.sh

fuzz-tools:
	@deploy/dev/install-fuzz-tools.sh

clean: ## Remove everything that was built or fetched here
	rm -rf target .tools
