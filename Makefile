# make setup   a virtual environment with everything that is needed; quick the second time
# make demo    all stages on generated text, offline, on a processor, in minutes
# make test    the test suite
# make lint    ruff, mypy, import-linter
# make check   lint and test
# make fuzz    damaged files for every reader, SECONDS=60 each; guided by coverage where atheris is installed

PYTHON ?= python3
VENV ?= .venv
SECONDS ?= 60
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SOURCES := src tests $(wildcard benchmarks)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check fuzz clean

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "dragoman needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Name another: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/dragoman demo

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint test

fuzz: $(STAMP)
	$(BIN)/python benchmarks/fuzz/readers.py --seconds $(SECONDS)
	$(BIN)/python benchmarks/fuzz/documents.py --seconds $(SECONDS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
