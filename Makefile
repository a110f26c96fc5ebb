# make setup, make run, make test: all that is needed from a fresh clone. Every package comes from a lock with hashes.
SHELL := /bin/sh
.DEFAULT_GOAL := setup
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
CODE := $(wildcard node discovery replication webui simulations)
SEEDS := 10000
CUTS := 100000
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(UPGRADE)

.PHONY: setup run test lint types tests pages simulate disk planted bench fuzz coverage lock package clean

setup: .venv/runtime.stamp

run: setup
	$(BIN)/kinring up

test: .venv/test.stamp
	$(MAKE) lint
	$(MAKE) types
	$(MAKE) tests
	$(MAKE) simulate SEEDS=200
	$(MAKE) disk CUTS=2000

lint: .venv/test.stamp
	$(BIN)/ruff check .

types: .venv/test.stamp
	$(BIN)/mypy $(CODE) tests

# pytest-randomly shuffles; its first lines print the seed that repeats the order (-p randomly_seed=N).
tests: .venv/test.stamp
	tests/alone $(BIN)/python -m pytest -q -n auto

# A picture of every page at three widths in two themes; needs Chromium.
pages: .venv/test.stamp
	tests/alone $(BIN)/python -m tests.e2e.pages $(or $(INTO),build/pages)

# Ctrl-C ends it with what was found so far.
simulate: setup
	$(BIN)/python -m simulations --seeds $(SEEDS)

# Power cuts at any file operation under a copy at work.
disk: setup
	$(BIN)/python -m simulations --disk $(CUTS)

# Breaks the code on purpose, one fault at a time: the simulation has to notice each.
planted: setup
	$(BIN)/python -m simulations --planted

bench: setup
	$(BIN)/python -m simulations.bench

# Every decoder, SECONDS for each: make fuzz SECONDS=600 ONLY="--target entry".
fuzz: build/fuzz-env/stamp
	build/fuzz-env/bin/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(ONLY)

# Lines and branches of replication/ that its own tests reach, the simulator left out. A figure, not a gate.
coverage: .venv/test.stamp
	@mkdir -p build
	tests/alone $(BIN)/python -m coverage run -m pytest -q -p no:cacheprovider \
	  $(wildcard tests/replication tests/attacks tests/fuzz)
	$(BIN)/python -m coverage report

# Keeps the versions that still fit; make lock UPGRADE=--upgrade takes the newest.
lock: .venv/tools.stamp
	$(COMPILE) requirements/tools.in -o requirements/tools.lock
	$(COMPILE) requirements/tools-fuzz.in -o requirements/tools-fuzz.lock
	$(COMPILE) requirements/build.in -o requirements/build.lock
	$(COMPILE) pyproject.toml -o requirements/runtime.lock
	$(COMPILE) pyproject.toml --extra test -c requirements/runtime.lock -o requirements/test.lock

package: setup
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

clean:
	rm -rf .venv build dist kinring.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@set -e; \
	for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
	  [ -n "$$python" ] || continue; \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "error: $$python cannot make a virtual environment" >&2; \
	    echo "hint: on Debian, Ubuntu and Raspberry Pi OS: sudo apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	  rm -rf .venv; "$$python" -m venv .venv; exit 0; \
	done; \
	echo "error: no Python 3.11 or newer was found" >&2; \
	echo "hint: sudo apt-get install python3 python3-venv (Debian 12 and later), brew install python (macOS)," >&2; \
	echo "hint: or name one: make setup PYTHON=/path/to/python3" >&2; exit 1

.venv/runtime.stamp: pyproject.toml requirements/runtime.lock requirements/build.lock | $(BIN)/python
	$(PIP) --require-hashes -r requirements/runtime.lock
	$(PIP) --require-hashes -r requirements/build.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/test.stamp: requirements/test.lock .venv/runtime.stamp
	$(PIP) --require-hashes -r requirements/test.lock
	@touch $@

# An environment of its own: the fuzzer changes the bytecode of what it imports, and no one else needs it.
build/fuzz-env/stamp: requirements/runtime.lock requirements/tools-fuzz.lock | $(BIN)/python
	$(BIN)/python -m venv build/fuzz-env
	build/fuzz-env/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
	  -r requirements/runtime.lock -r requirements/tools-fuzz.lock || { \
	  echo "error: the fuzzer (atheris) cannot be installed here" >&2; \
	  echo "hint: it is ready-made for 64-bit Linux on Intel or AMD; elsewhere it is built with clang and libFuzzer" >&2; \
	  echo "hint: the same targets run without it: .venv/bin/python -m pytest tests/fuzz" >&2; exit 1; }
	@touch $@

.venv/tools.stamp: requirements/tools.lock | $(BIN)/python
	$(PIP) --require-hashes -r requirements/tools.lock
	@touch $@
