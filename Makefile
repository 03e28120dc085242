# Needs Python 3.11+ and make, nothing else. Every target makes .venv if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The demo and the tests report to nobody.
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help demo up down test lint bench bench-scale bench-ingest bench-pruning bench-chaos clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.installed  ## Train 24 networks on digits and show what came of it
	@mkdir -p .demo/prefect
	PREFECT_HOME=$(CURDIR)/.demo/prefect $(BIN)/backprop train --data digits --space quick

STATE ?= .backprop
up: $(VENV)/.installed  ## Run Prefect, MLflow and a worker until Ctrl-C; PREFECT_PORT, MLFLOW_PORT, STATE, WEBHOOK
	@$(BIN)/backprop up --state '$(STATE)' $(if $(PREFECT_PORT),--prefect-port $(PREFECT_PORT)) \
	  $(if $(MLFLOW_PORT),--mlflow-port $(MLFLOW_PORT)) $(if $(WEBHOOK),--webhook '$(WEBHOOK)')

down: $(VENV)/.installed  ## End what `make up` started, if it was killed or its terminal is elsewhere
	@$(BIN)/backprop down --state '$(STATE)'

test: $(VENV)/.installed-dev  ## Run all tests
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench  ## Race against the peers; QUICK=1 takes three minutes, all of it fifteen
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

bench-scale: $(VENV)/.installed-bench  ## How time grows with trials, width, rows, workers; all of it takes three minutes
	$(BIN)/python -m benchmarks.scale $(if $(QUICK),--quick)

bench-ingest: $(VENV)/.installed  ## Race ingestion against pandas and scikit-learn on a million rows, in three minutes
	$(BIN)/python -m benchmarks.ingestion

bench-pruning: $(VENV)/.installed  ## Search a grid on Fashion-MNIST in full and by every stop rule, in a few minutes
	$(BIN)/python -m benchmarks.pruning

bench-chaos: $(VENV)/.installed  ## Kill what a search needs, at random, and hold it against one left alone; half an hour
	$(BIN)/python -m benchmarks.chaos

clean:  ## Remove .venv and what the demo wrote; your own runs are in mlflow.db and stay
	rm -rf $(VENV) .demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python -m backprop.compiled
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m backprop.compiled
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed
