# mmunlearn: `make` runs the pocket benchmark, `make help` lists the rest.
# The first target makes .venv from pyproject.toml and constraints.txt; later ones only when either file is newer.

PYTHON ?= python3
CORES ?= 2
ARGS ?=

SHELL := /bin/bash
BIN = $(VENV)/bin
override CORES := $(shell n=$$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); echo $$(($(CORES) < n ? $(CORES) : n)))
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES)

# Snakemake starts a script by the unquoted path of its interpreter. So where the path of this folder has a space,
# the environment lies in the user's cache and .venv is a link to it.
ifeq ($(words $(CURDIR)),1)
VENV := .venv
else
VENV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mmunlearn/venv-$(shell pwd | cksum | cut -d' ' -f1)
endif

.PHONY: run test lint pocket-models clean distclean help
.NOTPARALLEL:

run: .venv/.ready  ## run the pocket benchmark (CORES=2, ARGS="any Snakemake options or targets")
	@$(SNAKEMAKE) $(ARGS)
	@for page in results/*/report.html; do [ ! -e "$$page" ] || echo "Report: $$page"; done

test: .venv/.ready  ## run the tests (ARGS="any pytest options")
	@$(BIN)/python -m pytest $(ARGS)

lint: .venv/.ready  ## check style and the workflow's form
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/snakemake --lint

pocket-models: .venv/.ready  ## rebuild the shipped weights of the pocket world from nothing
	@$(SNAKEMAKE) $(ARGS) pocket_models

clean:  ## remove what runs have made: results, logs, benchmark figures, intermediate work
	@rm -rf results logs work benchmarks/*/
	@echo "Removed results, logs, work and the benchmark figures."

distclean: clean  ## also remove .venv, caches and Snakemake's own records
	@rm -rf $(VENV) .venv .snakemake .pytest_cache .hypothesis .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Removed .venv, the caches and Snakemake's records."

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "mmunlearn needs Python 3.11 or newer; '$(PYTHON)' says: $$($(PYTHON) --version 2>&1 | head -1)" >&2; \
	    echo "Name another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "Setting up .venv (two to three minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@[ $(VENV) = .venv ] || ln -sfn $(VENV) .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
