# The commands of a newcomer. One build profile serves all of them, so that llama.cpp and the
# dependencies are compiled once.

BIN := $${CARGO_TARGET_DIR:-target}/debug

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench compare interop faults proofs torture fuzz sanitize train-model eval-model

help:
	@echo 'make demo    install what is missing, build, and watch three agents do a paid job'
	@echo "             on a chain of their own; ARGS='--keep DIR' passes options on"
	@echo 'make test    install what is missing, then run every test'
	@echo 'make bench   the same for the benchmarks'
	@echo 'make compare the same agent in rig and in Marque, on one chain, and their lines'
	@echo 'make interop the official x402 packages for Node against both sides of our counter'
	@echo 'make faults  payments on a chain that reorganises, drops, lies and stalls, with processes'
	@echo '             killed at every edge, at full size (FAULTS=N; the seed is printed)'
	@echo 'make proofs  the policy engine against a second evaluator, and policies against each'
	@echo '             other, at full size (optimised build; CASES=N, SEED=64 hex digits)'
	@echo 'make torture the steward, its journal and the stores at full size: simulated worlds, kills,'
	@echo '             crashes at every edge, races, hostile messages and model files, damage, thieves on a chain'
	@echo '             (hours; each alone: see the Makefile; power cuts need root)'
	@echo 'make fuzz    every reader of untrusted text under a fuzzer (nightly Rust, cargo-fuzz are added; RUNS=N)'
	@echo 'make sanitize  the engine and llama.cpp under AddressSanitizer (nightly Rust is added; builds'
	@echo '             llama.cpp once more, about 10 minutes and 2 GB in target/sanitize)'
	@echo 'make train-model  the built-in model from nothing (Python, torch; some three hours of one core)'
	@echo 'make eval-model   its figures, or those of MODEL=file.gguf'
	@echo 'make setup   only install what is missing'

setup:
	@scripts/setup

demo: setup
	@cargo build --bin marque
	@$(BIN)/marque demo $(ARGS)

test: setup
	@cd contracts && npm run --silent check
	@cargo test --workspace

bench:
	@scripts/setup bench
	@cargo bench --profile dev --bench first_light
	@cargo bench --profile dev --bench mind
	@cargo bench --profile dev --bench task
	@cargo bench --profile dev -p marque-models --bench engine
	@cargo bench -p marque-policies --bench decide
	@cargo bench -p marque-steward --bench journal
	@cargo bench -p marque-steward --features testing --bench throughput
	@cargo test -p marque-steward --test last_line gas -- --nocapture
	@cd payments/bench && cargo run --release

# A workspace of its own, which compiles rig and the x402 crates: docs/comparison.md.
compare: setup
	@cargo build --bin marque --example paid_tool
	@cargo build --locked --manifest-path docs/comparison/Cargo.toml
	@echo 'rig with x402-reqwest'
	@MARQUE="$$(realpath $(BIN)/marque)" cargo run --quiet --locked --manifest-path docs/comparison/Cargo.toml
	@echo 'Marque'
	@cargo run --quiet --example paid_tool
	@echo 'lines'
	@docs/comparison/lines examples/hello.rs docs/comparison/src/bin/agent.rs

# The same pairs in `make test`.
interop: setup
	@cargo test --workspace --test interop -- --nocapture

# A few of the same runs in `make test`. The seed is printed; MARQUE_SEED repeats it.
FAULTS ?= 300

faults: setup
	@MARQUE_FAULTS=$(FAULTS) cargo test --workspace --test faults -- --nocapture

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

# Small sizes of the same run in `make test`. Each prints its seed; MARQUE_SEED repeats it.
STEWARD := cargo test --release -p marque-steward

torture: setup
	@MARQUE_SEEDS=100000 $(STEWARD) --test sim -- --nocapture
	@MARQUE_CRASHES=all cargo test -p marque-steward --features testing --test matrix -- --nocapture
	@MARQUE_KILLS=1000 cargo test -p marque-steward --features testing --test kills -- --nocapture
	@MARQUE_ATTEMPTS=100000 MARQUE_FREEZES=100 $(STEWARD) --features testing --test races -- --nocapture
	@MARQUE_PENDING=10000 $(STEWARD) --test restart -- --nocapture
	@MARQUE_CASES=1000000 $(STEWARD) --test hostile -- --nocapture
	@MARQUE_DAMAGES=10000 $(STEWARD) --test damage -- --nocapture
	@MARQUE_CASES=2000 cargo test -p marque-contracts --test delegation model -- --nocapture
	@MARQUE_CASES=5000 cargo test -p marque-steward --test last_line differential -- --nocapture
	@MARQUE_THIEVES=20 cargo test -p marque-steward --test last_line thief -- --nocapture
	@MARQUE_TAMPERS=10000 MARQUE_TREES=10000 cargo test -p marque-steward --lib journal -- --nocapture
	@MARQUE_HOSTILE=10000 cargo test --workspace --test hostile hostile_files -- --nocapture
	@MARQUE_KILLS=1000 MARQUE_FLIPS=1000 cargo test -p marque-store --test kill --test suite -- --nocapture
	@if [ "$$(id -u)" = 0 ]; then \
	    MARQUE_CUTS=100 cargo test -p marque-store --test power -- --ignored --nocapture && \
	    MARQUE_CUTS=100 cargo test -p marque-steward --test power -- --ignored --nocapture; \
	else echo 'power cuts: skipped, only root can mount a loop device'; fi

RUNS ?= 100000

fuzz:
	@scripts/setup fuzz
	@cd policies/fuzz && for target in amount bundle forbid host policy span verdict; do \
	    cargo +nightly fuzz run -O -s none $$target -- -runs=$(RUNS) -max_len=6000 || exit 1; done
	@cd payments/fuzz && for target in address choice header settlement terms; do \
	    cargo +nightly fuzz run -O -s none $$target -- -runs=$(RUNS) -max_len=6000 || exit 1; done

# Rust and C++ are both instrumented, and leaks count; a finding ends the run with its report.
# `rm -r target/sanitize` afterwards gives the room back.
SANITIZE := -fsanitize=address -fno-omit-frame-pointer

sanitize:
	@scripts/setup sanitize
	@CARGO_TARGET_DIR=target/sanitize RUSTFLAGS=-Zsanitizer=address \
	    CFLAGS_x86_64_unknown_linux_gnu='$(SANITIZE)' CXXFLAGS_x86_64_unknown_linux_gnu='$(SANITIZE)' \
	    cargo +nightly test --target x86_64-unknown-linux-gnu -p marque-models \
	    --lib --test llama --test adversarial --test stress --test exact

# The built-in model, from nothing (models/training/README.md): two to three hours of one core. A run that
# was stopped goes on. Python packages go into models/training/build/venv, torch with what it brings: 6 GB.
TRAINING := models/training
PYTHON := $(TRAINING)/build/venv/bin/python
MODEL ?= models/built-in/tiny-agent.gguf

$(PYTHON):
	@scripts/setup train
	@python3 -m venv $(TRAINING)/build/venv
	@$(PYTHON) -m pip install --quiet --editable '$(TRAINING)[test]'

train-model: $(PYTHON)
	@cd $(TRAINING) && build/venv/bin/python -m pytest -q && build/venv/bin/python -u -m marque_train all $(ARGS)

# The figures of the model card. What went wrong is written beside the sets.
eval-model: $(PYTHON)
	@cd $(TRAINING) && build/venv/bin/python -m marque_train sets
	@cargo run --quiet -p marque-models --example evaluate -- $(MODEL) $(TRAINING)/build/sets/*.jsonl
