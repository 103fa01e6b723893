# Everything a person or CI runs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust_core -name '*.rs' -o -name Cargo.toml)
PY_SOURCES := engine tests benchmarks

.PHONY: help setup format check lint types imports test-rust test sim crash power bench demo lock docs clean tools

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.dev $(VENV)/.extension ## Create .venv, build the extension, install tools

# Names what is missing before anything is built.
tools:
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON) (Python 3.11 or newer)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"found Python {v[0]}.{v[1]}, needed 3.11 or newer (set PYTHON=...)")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: the venv module of $(PYTHON) (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "missing: cargo (a Rust toolchain, 1.85 or newer; Debian: see https://rustup.rs)" >&2; exit 1; }

$(VENV)/.venv: | tools
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock $(VENV)/.venv | tools
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.venv | tools
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@ $(VENV)/.runtime

# The pinned maturin alone, for people who only run the engine.
$(VENV)/.maturin: requirements-dev.lock $(VENV)/.venv | tools
	@if [ ! -e $(BIN)/maturin ]; then \
		awk '/^maturin==/{p=1} p{print} p&&!/\\$$/{exit}' requirements-dev.lock > $(VENV)/maturin.lock; \
		$(BIN)/pip install --quiet --require-hashes --no-deps --requirement $(VENV)/maturin.lock; fi
	@touch $@

$(VENV)/.extension: $(RUST_SOURCES) pyproject.toml $(VENV)/.runtime $(VENV)/.maturin
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

format: setup ## Rewrite the sources in the house style
	$(BIN)/ruff format $(PY_SOURCES)
	$(BIN)/ruff check --fix $(PY_SOURCES)
	cargo fmt --all

check: lint types imports test-rust test ## All that CI runs

lint: setup ## Formatting and lints, Python and Rust
	$(BIN)/ruff format --check $(PY_SOURCES)
	$(BIN)/ruff check $(PY_SOURCES)
	cargo fmt --all --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings

types: setup ## mypy --strict, and the stub of the extension against the extension
	$(BIN)/mypy engine tests benchmarks
	$(BIN)/python -m mypy.stubtest engine._rust_core

imports: setup ## The layers of the architecture
	$(BIN)/lint-imports

test-rust: setup ## Rust tests, without Python
	cargo test --quiet

test: setup ## Build, then run every Python test with coverage
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

sim: setup ## Simulate whole engines in bad weather: SEEDS=1000 of them, or replay one with SEED=n
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds 0:$(or $(SEEDS),1000))

crash: setup ## Kill real engines at every step of an order and look what is left (CELLS=n of the matrix)
	$(BIN)/python -m tests.crash --sample $(or $(CELLS),36)

power: setup ## Cut the power of the SQLite journal at every write (STATES=n disks to open)
	$(BIN)/python -m tests.power --states $(or $(STATES),10000)

bench: setup ## Benchmarks as ratios against peers, in one run
	$(BIN)/python -m benchmarks

demo: $(VENV)/.extension ## Simulated gateway, engine and sample orders until Ctrl-C (DEMO_SECONDS=n stops by itself)
	@$(BIN)/engine demo $(if $(DEMO_SECONDS),--for $(DEMO_SECONDS))

docs: setup ## Redraw the generated pages
	UPDATE_DOCS=1 $(BIN)/python -m pytest -q tests/test_tidy.py tests/sim/test_faults.py

lock: $(VENV)/.venv ## Pin the dependencies anew, with hashes and without an index
	$(BIN)/pip install --quiet 'uv>=0.8'
	sed 's/^dynamic = .*/version = "0"/' pyproject.toml > $(VENV)/pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --output-file requirements.lock $(VENV)/pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --extra dev --output-file requirements-dev.lock $(VENV)/pyproject.toml

clean: ## Remove what was built
	rm -rf $(VENV) target state
