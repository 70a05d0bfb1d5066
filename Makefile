# make run     train LeNet5 on the embedded digits        make test    run every test
# make check   format, lint and types                     make format  format the code
# make notebooks   run the notebooks into build/notebooks/, as .ipynb with outputs and as HTML
# make docs    build the site into build/docs/html/, with the notebooks run
# make dist    build the wheel and the sdist into dist/   make check-dist   install and use them
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

PAGES = $(patsubst %.py,build/%.html,$(wildcard notebooks/*.py))
# Sphinx reads what lies below docs/ alone.
CHAPTERS = $(patsubst %.py,docs/%.ipynb,$(wildcard notebooks/*.py))
# The environment's own kernel, whatever Jupyter the user has, and pictures within the pages.
JUPYTER = @env -u JUPYTER_PATH JUPYTER_PREFER_ENV_PATH=1 JUPYTER_NO_CONFIG=1 \
  MPLBACKEND=module://matplotlib_inline.backend_inline $(VENV)/bin/python -m
NBCONVERT = $(JUPYTER) nbconvert --log-level ERROR --KernelManager.transport_encryption=auto

.PHONY: run test check format schema notebooks docs dist check-dist
.DELETE_ON_ERROR:
.SECONDARY:

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

notebooks: $(PAGES)

build/notebooks/%.ipynb: notebooks/%.py $(wildcard conv_jax/*.py conv_jax/*/*.py) $(VENV)/.notebooks
	@echo $@
	@mkdir -p $(@D)
	$(JUPYTER) jupytext --quiet --from py:percent --set-kernel python3 --output $@ $<
	$(NBCONVERT) --to notebook --execute --inplace $@

build/notebooks/%.html: build/notebooks/%.ipynb
	@echo $@
	$(NBCONVERT) --to html $<

docs: $(CHAPTERS) $(VENV)/.docs
	$(VENV)/bin/python -m sphinx -W --keep-going -n -q -b html docs build/docs/html
	@echo build/docs/html/index.html

docs/notebooks/%.ipynb: build/notebooks/%.ipynb
	@mkdir -p $(@D)
	@cp $< $@

dist: $(VENV)/.dev
	rm -rf dist
	$(VENV)/bin/python -m build

check-dist: dist
	.ci/check-dist $(PYTHON)

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'conv_jax needs Python 3.11 or newer: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.notebooks: $(VENV)/.run
	$(PIP) --editable '.[notebooks]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	$(PIP) --editable '.[docs]'
	@touch $@
