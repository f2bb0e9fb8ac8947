# The same named tasks serve people, hooks and CI.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PACKAGES := flows tasks expectations infra
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo life test faults postgres browser bench bench-gpu bench-models bench-portfolio audit check size lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP)  ## create .venv from the hash locks; does nothing when nothing changed

# Build tools come first and from their own lock, so that nothing is ever built with an unpinned one.
# --no-deps: the lock is the whole closure, less NVIDIA's NCCL, which only multi-GPU training needs.
$(STAMP): requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("treadle needs Python 3.11 or later; this is " + sys.version.split()[0] + ". fix: make PYTHON=python3.12 install" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes, once)"
	@if command -v uv >/dev/null 2>&1; then \
	  set -e; \
	  uv pip install -q --python $(BIN)/python --require-hashes --no-deps -r requirements-build.lock; \
	  uv pip install -q --python $(BIN)/python --require-hashes --no-deps --no-build-isolation --compile-bytecode -r requirements.lock; \
	  uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  set -e; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-build.lock; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements.lock; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $(STAMP)

demo: install  ## the main job on real flights: ingest, train, gate, promote, score
	@$(BIN)/treadle demo

life: install  ## the demo and what comes after it: bad data, late labels, a challenger, a verdict, a step back
	@$(BIN)/treadle demo --life

test: install  ## all tests but the slow proofs (minutes on 2 cores)
	@$(PYTEST)

faults: install  ## the slow proofs: every failpoint, hundreds of kills, hundreds of planted models (an hour or more)
	@$(PYTEST) -m slow --timeout 3600

postgres: install  ## the stores, a whole way and Prefect's server on a PostgreSQL of the tests' own (a quarter of an hour)
	@$(PYTEST) -m postgres --timeout 900

browser: install  ## both servers' pages in a headless Chromium; pictures in build/browser/ (minutes; needs chromium, nginx)
	@command -v chromium >/dev/null || { echo "make browser needs Chromium. fix: apt-get install chromium" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-browser.lock
	@$(BIN)/python -m pytest -m browser tests/browser

bench: install  ## what Prefect costs a command, and where the seconds of a small training go
	@$(BIN)/python -m tests.bench.prefect_cost

bench-gpu: install  ## training on this machine's GPU against its CPU (8 minutes; without a GPU small, on the CPU)
	@$(BIN)/python -m tests.bench.gpu

# ARGS: see `python -m tests.bench.models --help`; packages with tables and the peers' Pythons are named there
bench-models: install  ## treadle beside its peers on public tables: ARGS="--tables digits --systems treadle,xgb_default" (hours)
	@$(BIN)/python -m tests.bench.models $(ARGS)

bench-portfolio: install  ## which settings the search tries first, measured on public tables (an hour)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.portfolio measure $(ARGS)

audit: install  ## error rates of the gate and its neighbours, measured by experiment (an hour or so)
	@$(BIN)/python -m tests.audit

check: install  ## lint, format, types, arrows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

size:  ## lines of code by package, without blanks, comments and docstrings; what is longer than it may be
	@$(PYTHON) -m tests.size

lock:  ## renew the locks (needs uv)
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --no-emit-package nvidia-nccl-cu12 --no-emit-package nvidia-nccl-cu13 --group dev pyproject.toml -o requirements.lock
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --group build -o requirements-build.lock
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --group browser -c requirements.lock -o requirements-browser.lock

clean:  ## remove caches (neither data nor models)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
