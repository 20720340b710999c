# The commands of a newcomer. One build profile serves all of them, so that llama.cpp and the
# dependencies are compiled once.

BIN := $${CARGO_TARGET_DIR:-target}/debug

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench

help:
	@echo 'make demo    install what is missing, build, and watch three agents do a paid job'
	@echo "             on a chain of their own; ARGS='--keep DIR' passes options on"
	@echo 'make test    install what is missing, then run every test'
	@echo 'make bench   the same for the benchmarks'
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
