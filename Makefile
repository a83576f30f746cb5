# `make demo` shows the main job, `make test` runs every test; both set up all that they need, and say so.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCK := env -u PIP_FIND_LINKS $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml
OPA := $(BIN)/python -m webhook.decision.binary

.PHONY: help demo test test-fast lint format bench lock clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.runtime ## the real webhook and a real OPA answer real AdmissionReviews
	@$(BIN)/portcullis demo

test: lint ## every test
	@$(BIN)/python -m tests.controlplane.binaries >/dev/null
	@$(BIN)/python -m tests.beforehand
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

test-fast: lint ## the tests without the end-to-end ones on a real API server
	@$(BIN)/python -m tests.beforehand
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not e2e'

lint: $(VENV)/.dev ## formatting, lint, types and the walls between the rooms
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; false; }

format: $(VENV)/.dev ## format Python and Rego
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .
	@"$$($(OPA))" fmt --write policies_rego
	@$(BIN)/python -m webhook.decision.document > $(VENV)/input.json && mv $(VENV)/input.json policies_rego/schemas/input.json

bench: $(VENV)/.dev ## the figures, into docs/figures.md (SCENARIO=load, AGAINST=figures.json of an older run)
	@$(BIN)/python -m bench $(SCENARIO) $(if $(AGAINST),--against $(AGAINST))

lock: $(VENV)/.dev ## pin the dependencies anew, with hashes
	@$(LOCK) --group build -o requirements.lock --upgrade
	@$(LOCK) --group build --group dev -c requirements.lock -o requirements-dev.lock --upgrade

clean: ## remove what the targets made in this folder
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Portcullis needs Python 3.11 or newer: make PYTHON=python3.11 …" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) from requirements.lock (about a minute, once)"
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Adding the tools of requirements-dev.lock to $(VENV) (about a minute, once)"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
