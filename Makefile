# Everything a developer or a first user runs. Needs make, git and Python 3.11 or newer, no more;
# every target sets up what it needs in .venv from a hash-pinned lock, once.

PYTHON ?= python3
VENV ?= .venv
# More words for the command of a target: make up ARGS="--port 8080", make test ARGS="-k money -x"
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
RUNTIME := $(VENV)/runtime.stamp
DEVELOPMENT := $(VENV)/development.stamp
# What is measured is what users install: some libraries load more where the tools are beside them.
BENCH := $(VENV)/bench

.DEFAULT_GOAL := help
.PHONY: help up test check fix completions soak bench bench-turns bench-tui bench-size size setup install services lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install: $(RUNTIME) ## set up what running a gateway needs, without the tools of development

up: $(RUNTIME) ## set up once, then start a gateway on this machine
	@$(BIN)/conduit up $(ARGS)

# A worker for each core, which takes tests from another one when its own are done.
test: $(DEVELOPMENT) ## run every test, with small counts
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

check: $(DEVELOPMENT) ## format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: $(DEVELOPMENT) ## mend what can be mended by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

completions: $(RUNTIME) ## write completions/ and the generated pages of docs/ anew
	@$(BIN)/python -m scripts.generate

soak: $(DEVELOPMENT) ## run the repeating tests with their full counts; prints figures
	@CONDUIT_SOAK=1 $(BIN)/python -m pytest -m soak -s --timeout 3600 $(ARGS)

# Compiled first, as an installed package is: a start must not depend on who may write to __pycache__.
bench: $(BENCH)/runtime.stamp ## measure the gateway beside nginx and a bare pass-through (Linux)
	@$(BENCH)/bin/python -m compileall -q conduit
	@PATH="$(abspath $(BENCH))/bin:$$PATH" $(BENCH)/bin/python bench/run.py $(ARGS)

bench-turns: $(BENCH)/runtime.stamp ## compare gateways by short turns: ARGS="conduit conduit@../before" (Linux)
	@$(BENCH)/bin/python -m compileall -q conduit
	@PATH="$(abspath $(BENCH))/bin:$$PATH" $(BENCH)/bin/python bench/turns.py $(ARGS)

bench-tui: $(DEVELOPMENT) ## measure the terminal interface on a terminal of its own (Linux)
	@$(BIN)/python bench/tui.py $(ARGS)

bench-size: $(RUNTIME) ## measure lists, sums, exports and deletions over a million records (Linux)
	@$(BIN)/python bench/at_size.py $(ARGS)

size: $(RUNTIME) ## print the installed size and distributions at run time
	@$(BIN)/python scripts/size.py

setup: $(DEVELOPMENT) ## set up for development, run nothing

services: tests/node/node_modules/.stamp ## install the Node software that some tests need

lock: ## resolve the lock files anew (needs uv)
	scripts/lock

clean: ## remove what the targets made
	rm -rf $(VENV) tests/node/node_modules .mypy_cache .pytest_cache .ruff_cache \
	    .import_linter_cache .hypothesis .coverage bench/results

# Not pyvenv.cfg: that is there even when setting up failed half-way.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "Conduit needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Setting up $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV)

# pyproject.toml names the console scripts, so the editable install follows it.
$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/pip
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@$(BIN)/python -m compileall -q conduit
	@touch $@

$(DEVELOPMENT): requirements-dev.lock $(RUNTIME)
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(BENCH)/runtime.stamp: requirements.lock pyproject.toml
	@echo "Setting up $(BENCH) …" >&2
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r requirements.lock
	@$(BENCH)/bin/python -m pip --disable-pip-version-check -qq install --no-build-isolation --no-deps --editable .
	@touch $@

tests/node/node_modules/.stamp: tests/node/package-lock.json
	@npm ci --prefix tests/node --no-audit --no-fund
	@touch $@
