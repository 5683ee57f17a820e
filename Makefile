# The two commands that matter: `make repro` rebuilds everything, `make test` proves it. `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro test check types soak study clean

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/ready  ## Make (or reuse) the virtual environment

# Reused as long as neither the list of packages nor their pins change.
$(VENV)/ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "setuptools>=77,<81" wheel
	$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m stages weights get blazepose || echo "cdcd generate needs it for your own clips; all else works."
	@touch $@

repro: setup  ## Rebuild everything: download to report (dvc repro, data sets side by side)
	$(BIN)/python -m stages repro
	@echo "Done: read reports/README.md, open reports/index.html in a browser."

test: check  ## Check, then run the tests (under ten minutes on two cores)
	$(BIN)/python -m pytest -n 2

check: setup types  ## Format, lint, types, and the graph of stages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/dvc dag

types: setup  ## Check the types of pipeline, stages and cdcd
	$(BIN)/basedpyright

study: setup  ## Train the grids of params/study (states its hours first; rows that are there are skipped)
	@for dataset in $(or $(DATASETS),digits toy_shapes toy_dance); do \
	  $(BIN)/python -m stages study $$dataset --list | tail -n 1; done
	@for dataset in $(or $(DATASETS),digits toy_shapes toy_dance); do \
	  $(BIN)/python -m stages study $$dataset || exit 1; done

soak: setup  ## The long tests: kills, fuzz, several processes
	$(BIN)/python -m pytest -m soak

clean:  ## Remove what the stages made (DVC's cache keeps it)
	rm -rf data/*/ reports/index.html reports/examples

-include reports.mk
