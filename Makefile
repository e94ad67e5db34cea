# `make run` and `make test` do all their own set-up; only Python 3.11 or newer and make must be there.

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 run` names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && { echo $$python; break; }; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run demo test lint types check bench format clean

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

run: .venv/.installed ## serve at http://127.0.0.1:8000 with an embedded PostgreSQL
	@exec $(BIN)/billing serve

demo: .venv/.installed ## a month of generated traffic, from the first event to the invoices
	@exec $(BIN)/billing demo

test: .venv/.developing ## run all tests, on an embedded PostgreSQL of their own
	@$(BIN)/pytest

lint: .venv/.developing ## look for mistakes, and for lines that are not formatted
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --exclude '*.md' .

types: .venv/.developing ## check the types
	@$(BIN)/mypy

check: lint types test ## all that must pass before a commit

bench: .venv/.developing ## measure how much the service takes
	@$(BIN)/python -m benchmarks

format: .venv/.developing ## format the code
	@$(BIN)/ruff format --exclude '*.md' .
	@$(BIN)/ruff check --fix .

clean: ## remove the virtual environment and caches; never the data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.created:
	@$(if $(PYTHON),,echo "This needs Python 3.11 or newer, and found none. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1)
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) is older than 3.11. Name a newer one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv --clear .venv || { echo "Python's venv module is not complete; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

.venv/.installed: .venv/.created pyproject.toml constraints.txt
	@echo "Installing …"
	@$(PIP) --editable .
	@touch $@

.venv/.developing: .venv/.installed
	@echo "Installing the tools for tests …"
	@$(PIP) --editable '.[dev]'
	@touch $@
