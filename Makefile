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
VECTORS := $(sort $(wildcard $(foreach kind,ve transcripts sessions,tests/test_$(kind)*.py tests/*/test_$(kind)*.py)))

.PHONY: demo test lint check interop bench soak vectors docs clean

demo: $(VENV)/.installed
	$(BIN)/sansproto demo

test: lint
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist worksteal -m "not interop and not explores"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/pytest -n auto --dist worksteal -m explores

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# The laws and vectors alone: what is worth the time with every further Python.
check: $(VENV)/.installed
	$(BIN)/pytest -n auto --dist worksteal -m "not interop and not slow" $(LAWS) $(VECTORS)

interop: $(VENV)/.installed
	-$(MAKE) --no-print-directory $(VENV)/.interop
	$(BIN)/python tests/run_interop.py

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

soak: $(VENV)/.installed
	SANSPROTO_SOAK=$${SANSPROTO_SOAK:-1} $(BIN)/pytest -n auto --dist worksteal $(LAWS)

# What is derived from our own code: the tables as JSON, and what our own machines said. CI refuses a difference.
vectors: $(VENV)/.installed
	$(BIN)/python docs/generate.py
	PYTHONPATH=tests $(BIN)/python tests/bob/scenarios.py
	PYTHONPATH=tests $(BIN)/python tests/overte/scenarios_overte.py
	$(if $(CI),git diff --exit-code -- vectors docs)

docs: $(VENV)/.documenting
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# An environment of another Python is made anew: PYTHON may have had another value then.
ifneq ($(STALE),)
.PHONY: $(VENV)/.installed
endif

$(VENV)/.installed: pyproject.toml $(wildcard adapters/*/pyproject.toml)
	$(if $(PYTHON),,$(error no Python 3.11 or newer with venv found: install one or set PYTHON))
	"$(PYTHON)" -m venv $(if $(STALE),$(patsubst %,--clear,$(wildcard $(VENV)/pyvenv.cfg))) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' $(PROJECTS:%=-e %)
	touch $@

# Not everywhere can this be installed: the tests that want it then say that they could not run.
$(VENV)/.interop: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[interop]'
	touch $@

$(VENV)/.documenting: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@
