# make run     train LeNet5 on the embedded digits        make test    run every test
# make check   format, lint and types                     make format  format the code
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test check format schema

run: $(VENV)/.run
	$(VENV)/bin/python -m experiments run configs/lenet5_digits.toml

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest

check: $(VENV)/.dev
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python

format: $(VENV)/.dev
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

schema: $(VENV)/.run
	$(VENV)/bin/python -m experiments schema > configs/schema.json

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'conv_jax needs Python 3.11 or newer: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	@touch $@
