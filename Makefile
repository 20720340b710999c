# The commands of a newcomer. One build profile serves all of them, so that llama.cpp and the
# dependencies are compiled once.

BIN := $${CARGO_TARGET_DIR:-target}/debug

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench proofs fuzz

help:
	@echo 'make demo    install what is missing, build, and watch three agents do a paid job'
	@echo "             on a chain of their own; ARGS='--keep DIR' passes options on"
	@echo 'make test    install what is missing, then run every test'
	@echo 'make bench   the same for the benchmarks'
	@echo 'make proofs  the policy engine against a second evaluator, and policies against each'
	@echo '             other, at full size (optimised build; CASES=N, SEED=64 hex digits)'
	@echo 'make fuzz    every reader of untrusted text under a fuzzer (nightly Rust, cargo-fuzz; RUNS=N)'
	@echo 'make setup   only install what is missing'

setup:
	@scripts/setup

demo: setup
	@cargo build --bin marque
	@$(BIN)/marque demo $(ARGS)

test: setup
	@cd contracts && npm run --silent check
	@cargo test --workspace

bench: setup
	@cargo bench --profile dev --bench first_light
	@cargo bench -p marque-policies --bench decide
	@cargo bench -p marque-steward --bench journal
	@cargo bench -p marque-steward --bench throughput

# A million cases against the reference evaluator, 100,000 pairs for the diff, 10,000 policies a law,
# 20 robberies at random beside the planned ones. The seed is printed.
CASES ?= 1000000
PAIRS ?= 100000
LAWS  ?= 10000
ROBBERIES ?= 20
SUITE := cargo test --release -p marque-policies --test suite --

proofs:
	@$(if $(SEED),MARQUE_SEED=$(SEED)) MARQUE_CASES=$(CASES) $(SUITE) --nocapture reference::
	@$(if $(SEED),MARQUE_SEED=$(SEED)) MARQUE_CASES=$(PAIRS) $(SUITE) --nocapture diff::
	@$(if $(SEED),MARQUE_SEED=$(SEED)) MARQUE_CASES=$(LAWS) $(SUITE) --nocapture laws::
	@$(if $(SEED),MARQUE_SEED=$(SEED)) MARQUE_CASES=$(ROBBERIES) $(SUITE) --nocapture structuring::

RUNS ?= 100000

fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo 'cargo-fuzz is missing: cargo install cargo-fuzz --locked' >&2; exit 1; }
	@cd policies/fuzz && for target in amount bundle forbid host policy span verdict; do \
	    cargo +nightly fuzz run -O -s none $$target -- -runs=$(RUNS) -max_len=6000 || exit 1; done
