# make setup   a virtual environment with everything that is needed; quick the second time
# make demo    all stages on generated text, offline, on a processor, in minutes
# make test    the test suite, in five minutes on two cores: MARKED='not long' with the slow tests, as .ci/run does
# make test-all  all of it, with the few long tests too
# make lint    ruff, mypy, import-linter
# make check   lint and test
# make docs    the documentation as a site, in build/site
# make package builds the wheel, installs it into a folder of its own and uses it
# make lock    resolves all dependencies afresh and writes constraints.txt
# make fuzz    damaged files for every reader, SECONDS=60 each; guided by coverage where atheris is installed

PYTHON ?= python3
VENV ?= .venv
SECONDS ?= 60
MARKED ?= not slow and not long
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# one more than there are cores, since some tests wait for processes of their own
WORKERS := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? n + 1 : 5)))
SOURCES := src tests $(wildcard benchmarks)
# the tests start many processes: what one of them has compiled need not be compiled by all
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all chromium lint check docs package lock fuzz clean

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

test: $(STAMP) chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m '$(MARKED)'

test-all: $(STAMP) chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

# the tests of the web page drive it; where it is not and cannot be had, they say so and are skipped
chromium:
	@command -v chromium >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	} || echo 'NO CHROMIUM: the web page will not be tested; apt-get install chromium' >&2

lint: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint test

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt 'mkdocs-material>=9.7' 'mkdocstrings[python]>=1.0'
	$(BIN)/mkdocs build --quiet

# the tools of the environment serve the build: nothing is fetched
package: $(STAMP)
	rm -rf build/package dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m pip install --quiet --no-deps --target build/package dist/*.whl
	cd build/package && PYTHONPATH=. $(abspath $(BIN))/python -c 'import dragoman, pathlib; assert pathlib.Path(dragoman.__file__).is_relative_to(pathlib.Path.cwd())'
	cd build/package && PYTHONPATH=. $(abspath $(BIN))/python -m dragoman new sample --pair en-fr && rm -r sample

# all extras but `s3` and `trackio` (see constraints.txt), and the tools of `make docs`
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet 'torch>=2.13,<2.14'
	build/lock/bin/python -m pip install --quiet '.[dev,postgres,mlflow,wandb,nvidia]' 'mkdocs-material>=9.7' 'mkdocstrings[python]>=1.0'
	{ grep '^#' constraints.txt; build/lock/bin/python -m pip freeze --all --exclude pip --exclude dragoman | sed 's/+.*//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

fuzz: $(STAMP)
	$(BIN)/python benchmarks/fuzz/readers.py --seconds $(SECONDS)
	$(BIN)/python benchmarks/fuzz/documents.py --seconds $(SECONDS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
