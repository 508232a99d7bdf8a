# mmunlearn: `make` runs the pocket benchmark, `make help` lists the rest.
# The first target makes .venv from pyproject.toml and constraints.txt; later ones only when either file is newer.

PYTHON ?= python3
CORES ?= 2
ARGS ?=

SHELL := /bin/bash
BIN = $(VENV)/bin
override CORES := $(shell n=$$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); echo $$(($(CORES) < n ? $(CORES) : n)))
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES)
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

# Snakemake starts a script by the unquoted path of its interpreter. So where the path of this folder has a space,
# the environment lies in the user's cache and .venv is a link to it.
ifeq ($(words $(CURDIR)),1)
VENV := .venv
else
VENV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mmunlearn/venv-$(shell pwd | cksum | cut -d' ' -f1)
endif

# An environment that came along with a copied folder would run the other folder's library: it is set up anew.
OWNER := $(shell cat .venv/.ready 2>/dev/null)
ifneq ($(OWNER),)
ifneq ($(OWNER),$(CURDIR))
$(info The environment in .venv was set up for $(OWNER): setting up one for this folder.)
$(shell rm -rf .venv)
endif
endif

.PHONY: run plan doctor test lint review export paper pocket-models clean distclean help
.NOTPARALLEL:

run: .venv/.ready  ## run the pocket benchmark (CORES=2, ARGS="any Snakemake options or targets")
	@$(SNAKEMAKE) $(ARGS)
	@for page in results/*/report.html; do [ ! -e "$$page" ] || echo "Report: $$page"; done

plan: .venv/.ready  ## print what a run would cost, and beside it what it has cost (ARGS="--configfile FILE -- TARGETS")
	@$(BIN)/python -m mmunlearn plan $(ARGS)

doctor: .venv/.ready  ## print what this machine lacks for a run (ARGS="--configfile FILE -- TARGETS")
	@$(BIN)/python -m mmunlearn doctor $(ARGS)

test: .venv/.ready-dev  ## run the tests (ARGS="any pytest options"); they look at this folder's default run
	@$(if $(findstring slurm,$(ARGS)),,[ -e results/pocket/report.html ] || echo "The tests make the default run first (some ten minutes on two cores).")
	@$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/.ready-dev  ## check style, the direction of imports and the workflow's form
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/snakemake --lint

review: .venv/.ready  ## write the pages on which people review texts and pictures (ARGS="--configfile FILE")
	@$(SNAKEMAKE) --keep-going $(ARGS) -- review

export: .venv/.ready  ## write the data set in the form of Hugging Face's datasets (ARGS="--configfile FILE")
	@$(SNAKEMAKE) $(ARGS) -- export

paper: .venv/.ready-paper  ## set up what the paper scale needs besides: FLUX, the filters' networks, openai

pocket-models: .venv/.ready  ## rebuild the shipped weights of the pocket world from nothing
	@$(SNAKEMAKE) $(ARGS) pocket_models

clean:  ## remove all that runs have made: results, logs, benchmark figures, and work/ with every picture and reply
	@rm -rf results logs work $(filter-out benchmarks/gpu/,$(wildcard benchmarks/*/))
	@echo "Removed results, logs, work and the benchmark figures."

distclean: clean  ## also remove .venv, caches and Snakemake's own records
	@rm -rf $(VENV) .venv .snakemake .pytest_cache .hypothesis .ruff_cache .import_linter_cache
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
	@$(PIP) -e .
	@echo '$(CURDIR)' > $@

# Two packages bring OpenCV, one of them in the form that needs a screen's libraries: the other one is put on top.
.venv/.ready-paper: .venv/.ready
	@echo "Adding the packages of the paper scale (two minutes the first time) ..."
	@$(PIP) -e '.[paper]'
	@$(PIP) --force-reinstall --no-deps opencv-python-headless
	@touch $@

.venv/.ready-dev: .venv/.ready-paper
	@$(PIP) -e '.[dev]'
	@touch $@
