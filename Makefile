# Everything runs from .venv, which is made when it is missing or older than pyproject.toml.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests wait more than they compute: four share two cores well, each with servers of its own.
# Files keep their order, in which the long ones come first.
TESTERS ?= 4
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo demo-story test lint bench chaos clean

help:  ## these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## one real reel, from a request to a verified callback
	@$(BIN)/python -m ops.demo

demo-story: $(VENV)/.local  ## a little story from text, made here by the demonstration models
	@$(BIN)/python -m ops.demo.story

test: $(VENV)/.tested  ## everything; installs and starts the servers it needs
	@bash tests/servers/install.sh
	@$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.tested  ## style, types, layers, the published contract
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@bash tests/servers/install.sh node
	@$(BIN)/python -m ops.contract --check docs/contract
	@node tests/node/asyncapi.mjs docs/contract/asyncapi.yaml --quiet
	@$(BIN)/python docs/generate.py --check

bench: $(VENV)/.benched  ## the figures of docs/benchmarks.md, on this machine
	@bash tests/servers/install.sh
	@$(BIN)/python -m ops.bench

chaos: $(VENV)/.tested  ## the long soak: random kills for several minutes
	@bash tests/servers/install.sh
	@$(BIN)/python -m pytest tests/chaos -m "slow or not slow" --timeout=3600

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Telecine into $(VENV) …"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.local: $(VENV)/.installed
	@echo "Installing torch and what local models need …"
	@$(PIP) install --constraint constraints.txt torch
	@$(PIP) install --constraint constraints.txt --editable ".[local]"
	@touch $@

$(VENV)/.tested: $(VENV)/.local
	@echo "Installing what the tests and linters need …"
	@$(PIP) install --constraint constraints.txt --editable ".[test,lint,postgres]"
	@touch $@

$(VENV)/.benched: $(VENV)/.tested
	@$(PIP) install --constraint constraints.txt --editable ".[bench]"
	@touch $@

clean:  ## what make itself has made; the jobs in telecine-data stay
	@rm -rf $(VENV) telecine-demo bench-results
