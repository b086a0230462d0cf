# The commands of the project. Everything runs in .venv, which any of them makes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.ready-bench

.PHONY: help setup demo test torture bench docs screenshots lint clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("foldq needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Give another: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about a minute the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

setup: $(READY)  ## make .venv with foldq in it: .venv/bin/foldq

demo: $(READY)  ## two real searches on two local engines, from dropped file to saved model
	@$(BIN)/python examples/demo.py

# Three at a time: much of a test with engines is waiting. Modules stay whole, for their fixtures, and
# begin in their order: those with engines take longest, and come first, so that none is left over.
test: $(READY)  ## run the tests
	@$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

torture: $(READY)  ## tests against faults, by the thousand: ARGS="--only kills --kills 50"
	@$(BIN)/python -m tests.torture $(ARGS)

# What cannot be installed is shown as such in the tables.
$(BENCH_READY): $(READY)
	@echo "Installing what foldq is timed beside …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]' && touch $(BENCH_READY) || echo "Not installed; going on without."

bench: $(BENCH_READY)  ## foldq and its peers timed, for docs/performance.md: ARGS="--quick"
	@$(BIN)/python -m benchmarks $(ARGS)

# The reference is made from the code; a broken link ends the build.
docs: $(READY)  ## the pages as a site that needs no network: build/site/index.html
	@$(BIN)/python -m manual
	@echo "Open build/site/index.html"

screenshots: $(READY)  ## new pictures of commands and pages, in docs/img
	@$(BIN)/python -m manual.screenshots

lint: $(READY)  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:  ## remove .venv and caches (no spool is touched)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
