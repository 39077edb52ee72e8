# Every target installs what it needs into .venv by itself, and not again while nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Environments with the newest Gymnasium: the core alone, and with demonstrations and Stable-Baselines3.
CORE := .venv-core
NEWEST := .venv-newest

.PHONY: help install quickstart benchmark throughput test test-all test-newest lint format docs pictures clean

help: ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## install everything into .venv

# torch first and by its number: an open range takes a build with gigabytes of CUDA.
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

quickstart: $(INSTALLED) ## demonstrations, training and measurement of Reach and Grasp, in a few minutes
	$(BIN)/python -m benchmarks run quickstart

benchmark: $(INSTALLED) ## measure the published table again, into results/core
	$(BIN)/python -m benchmarks run core --out results/core

throughput: $(INSTALLED) ## measure the published speeds again, into results/throughput.json
	$(BIN)/python -m benchmarks throughput --out results/throughput.json

test: $(INSTALLED) ## the tests, in less than ten minutes
	$(BIN)/python -m pytest -m "not slow"

test-all: $(INSTALLED) ## the tests and those that take minutes each
	$(BIN)/python -m pytest

test-newest: $(CORE)/.installed $(NEWEST)/.installed ## lam_envs and demos on the newest Gymnasium
	$(CORE)/bin/python tests/lam_envs/core_alone.py
	$(NEWEST)/bin/python -m pytest -m "not slow" tests/lam_envs tests/demos

# Installed as users do, not editable: so anew whenever the code changed.
CODE := setup.cfg setup.py lam_envs.pth _lam_envs_autoload.py $(shell find lam_envs demos -name '*.py' -o -name '*.urdf')

$(CORE)/.installed: $(CODE)
	test -x $(CORE)/bin/python || $(PYTHON) -m venv $(CORE)
	$(CORE)/bin/python -m pip install --quiet --upgrade gymnasium
	$(CORE)/bin/python -m pip install --quiet --force-reinstall --no-deps .
	$(CORE)/bin/python -m pip install --quiet .
	touch $@

$(NEWEST)/.installed: $(CODE)
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet torch==2.13.0
	$(NEWEST)/bin/python -m pip install --quiet --upgrade gymnasium stable-baselines3 pytest hypothesis
	$(NEWEST)/bin/python -m pip install --quiet --force-reinstall --no-deps .
	$(NEWEST)/bin/python -m pip install --quiet '.[demos]'
	touch $@

lint: $(INSTALLED) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## let ruff format and mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(INSTALLED) ## write docs/environments.md and the tables of the README again
	$(BIN)/python docs/pages.py

pictures: $(INSTALLED) ## draw the README's picture again
	$(BIN)/python docs/pictures.py

clean: ## remove what was installed and made; committed results stay
	rm -rf $(VENV) $(CORE) $(NEWEST) runs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
