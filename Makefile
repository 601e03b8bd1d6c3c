# For work on the template itself. What users run is `uv run kgl ...` in their workspace, which needs no make.
# Needs Python 3.11 or newer, git and make. uv is installed into .tools/, everything else into .venv/.

PYTHON ?= python3
STARTER ?= titanic
WORKSPACE := {{cookiecutter.project_slug}}
UV := $(CURDIR)/.tools/bin/uv
BIN := $(CURDIR)/.venv/bin
IN_WORKSPACE := cd '$(WORKSPACE)' &&

# The machine's own Python is used and left alone; no other is downloaded.
export UV
export UV_PYTHON ?= $(PYTHON)
export UV_PYTHON_DOWNLOADS ?= never
# Caches stay out of the template folder: cookiecutter would copy them into every workspace.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export PYTEST_ADDOPTS := -p no:cacheprovider
EXPORTED := PYTHONPYCACHEPREFIX MYPY_CACHE_DIR RUFF_CACHE_DIR HYPOTHESIS_STORAGE_DIRECTORY PYTEST_ADDOPTS MAKEFLAGS
# Each test that starts a process would compile all libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help test test-template test-pictures test-tables demo lint fix size file-lists clean setup

help:  ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

# Each part keeps little more than one core busy, so two are at work at once.
test:  ## Check and test everything, as continuous integration does
	@$(MAKE) --no-print-directory --jobs=2 test-template lint size test-pictures test-tables

test-template: setup  ## ... the template: bakes, installs, and whole loops through the commands a user types
	'$(BIN)/python' -m pytest

test-pictures: setup  ## ... the engine in place: what is for pictures, and that commands import little
	$(IN_WORKSPACE) '$(BIN)/python' -m pytest tests/image tests/test_cli.py

# A user's shell sets none of what this file exports.
test-tables: setup  ## ... the engine in a fresh workspace for tables, where torch is not installed
	rm -rf .cache/fresh
	'$(BIN)/cookiecutter' . --no-input --output-dir .cache/fresh starter=tabular
	cd .cache/fresh/* && unset $(EXPORTED) && '$(UV)' run pytest

lint: setup  ## Check style, format and types of the template and of the engine in place; writes nothing
	'$(BIN)/ruff' check .
	'$(BIN)/ruff' format --check .
	'$(BIN)/mypy'
	$(IN_WORKSPACE) '$(BIN)/mypy'

fix: setup  ## Mend style and format
	'$(BIN)/ruff' check --fix .
	'$(BIN)/ruff' format .

size: setup  ## Print the size of the engine beside its budget
	@'$(BIN)/python' tests/size.py

file-lists: setup  ## Write the lists of files that workspaces consist of (tests/files_*.txt)
	'$(BIN)/python' -m tests.file_lists

demo: setup  ## Generate a workspace, install it and rehearse a whole contest in it (STARTER=titanic)
	rm -rf .demo
	'$(BIN)/cookiecutter' . --no-input --output-dir .demo starter=$(STARTER)
	cd .demo/* && '$(UV)' sync && '$(UV)' run kgl rehearse

clean:  ## Delete the environment, the tools and all caches
	rm -rf .venv .tools .cache .demo uv.lock

setup: $(UV)
	@'$(UV)' sync --quiet

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv
