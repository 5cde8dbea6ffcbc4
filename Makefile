# `make` lists the targets. `make demo` and `make test` work on a fresh machine: they set up what they
# need, and the second run skips the set-up. PYTHON=… chooses the interpreter.

.DEFAULT_GOAL := help
SHELL := /bin/bash
export PYTHON

BIN := .venv/bin
# Folders that are checked; a folder that a partial checkout lacks is left out.
SOURCES := $(wildcard src tests bench examples)
TYPED := $(wildcard src bench examples/reconciler)
# Three for two processors, because many tests wait. They keep their order, so that those of a file share what it set
# up; a worker that is done takes over some of another's.
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## create .venv from the lock file; nothing to do when it is current
	@scripts/setup-python .venv requirements/dev.txt

.PHONY: setup-system
setup-system: ## install the system packages that tests use (root on Debian), or name them
	@scripts/setup-system

.PHONY: demo
demo: setup ## show the whole product on this machine
	$(BIN)/dragons demo

.PHONY: test
test: setup setup-system ## all tests but the deep ones, then `make check`
	$(PYTEST) -m "not deep"
	@$(MAKE) --no-print-directory check

.PHONY: test-deep
test-deep: setup setup-system ## all tests, with many more generated cases
	HYPOTHESIS_PROFILE=deep $(PYTEST)

.PHONY: check
check: setup ## style, types and the import rule
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports

.PHONY: bench
bench: setup ## measure Dragons and its peers in one run; peers have an environment of their own
	@scripts/setup-python .venv-bench requirements/bench.txt
	$(BIN)/python -m bench

.PHONY: lock
lock: setup ## write the lock files again; UPGRADE=1 takes the newest versions
	@scripts/lock $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove environments, caches and build results
	rm -rf .venv .venv-bench .venv-lock .venv*.lock build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
