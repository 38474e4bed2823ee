SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
# tests run in this many processes; every module stays in one of them, in the order of tests/conftest.py
WORKERS ?= auto
PYTEST := $(BIN)/pytest --quiet --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=
UV_VERSION := 0.13.8

.PHONY: help run dev test check unit lint types contracts torture bench format install install-test lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.installed-run ## generate a sample site, run the nightly pipeline on it, report
	@$(BIN)/photo-popularity run --sample

dev: .venv/.installed-run ## serve Dagster's pages on what `make run` made
	@$(BIN)/photo-popularity dev

test: lint types contracts ## run all checks, then all tests
	@echo "== all tests"
	@$(PYTEST) $(PYTEST_ARGS)

check: lint types contracts unit ## format, lint, types, import contracts, unit tests: the quick part of `make test`

lint: .venv/.installed-test ## formatting and lint, nothing changed
	@echo "== format and lint"
	@$(BIN)/ruff format --quiet --check --output-format concise . || { echo "Run 'make format'."; exit 1; }
	@$(BIN)/ruff check --quiet .

types: .venv/.installed-test ## mypy, strict
	@echo "== types"
	@$(BIN)/mypy --no-error-summary

contracts: .venv/.installed-test ## imports point one way
	@echo "== import contracts"
	@report=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$report"; exit 1; }

unit: .venv/.installed-test ## the quick tests: no server, no browser, no Dagster run
	@echo "== unit tests"
	@$(PYTEST) -m "not postgres and not s3 and not browser and not real_data and not end_to_end" \
		$(wildcard tests/domain tests/partitions tests/resources tests/test_packaging.py)

torture: .venv/.installed-test ## hundreds of random edit scripts and killed processes: an hour or more
	@echo "== torture"
	@$(PYTEST) --dist load tests/torture $(PYTEST_ARGS)

bench: .venv/.installed-test ## how long ticks and runs take, beside Make and DVC; how fast logs are scanned; what servers cost
	@$(BIN)/python -m benchmarks.incremental
	@$(BIN)/python -m benchmarks.logs --megabytes 100
	@$(BIN)/python -m benchmarks.deployment

format: .venv/.installed-test ## format the code and mend what lint can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

install: .venv/.installed-run ## the environment that `make run` uses
install-test: .venv/.installed-test ## the environment that tests use

lock: .venv/bin/python ## pin the newest allowed packages anew, with hashes
	@$(BIN)/python -m pip install --quiet "uv==$(UV_VERSION)"
	@$(call compiled,requirements-test.lock,--all-extras --group build --group test)
	@$(call compiled,requirements.lock,--extra compiled --extra onnx --extra postgres --extra s3 --group build --constraint requirements-test.lock)
	@$(call compiled,deploy/image/requirements.lock,--extra compiled --extra kubernetes --extra onnx --extra postgres --extra s3 --group build --constraint requirements-test.lock)

clean: ## remove environments, caches and test output; what the pipeline made stays
	@rm -rf .venv build test-output *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# No index, no host and no path stands in a lock: whoever installs decides where packages come from.
define compiled
$(BIN)/uv --quiet --no-config pip compile pyproject.toml $(2) --output-file $(1) --upgrade --universal \
	--python-version 3.11 --fork-strategy fewest --no-build --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" > /dev/null
endef

# Dagster 1.13 wants Python below 3.15.
.venv/bin/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2> /dev/null; then \
			echo "Making an environment in .venv with $$("$$python" --version)."; \
			"$$python" -m venv .venv || { rm -rf .venv; \
				echo "$$python could not make a virtual environment: install its venv module (Debian: apt-get install python3-venv)."; exit 1; }; \
			exit 0; \
		fi; \
	done; \
	echo "No Python from 3.11 to 3.14 was found (tried: $(PYTHONS)): install one, then run make again."; exit 1

# Dependencies come from the lock alone, as wheels: what is not pinned and hashed there is never fetched, nothing is compiled.
# Our own sources are, to bytecode: a service that may not write beside them would do it at each start of a process.
define installed
set -e -o pipefail; count=$$(grep -c '^[A-Za-z0-9].*==' $(1)); done=0; \
echo "Installing $$count packages from $(1), about a minute."; \
PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --no-color --progress-bar off --only-binary :all: --no-deps --require-hashes -r $(1) \
	| while read -r line; do case $$line in Collecting*) \
		done=$$((done + 1)); if [ -t 1 ]; then printf '\r  %d of %d' $$done $$count; fi;; \
	"Installing collected"*) if [ -t 1 ]; then printf '\r  unpacking ...   '; fi;; esac; done; \
if [ -t 1 ]; then printf '\r                 \r'; fi; \
PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .; \
$(BIN)/python -m compileall -q assets partitions photo_popularity resources; \
$(BIN)/python -m photo_popularity.domain.log_kernel.object_code || true; \
touch $@
endef

.venv/.installed-run: requirements.lock pyproject.toml | .venv/bin/python
	@$(call installed,requirements.lock)

.venv/.installed-test: requirements-test.lock pyproject.toml | .venv/bin/python
	@$(call installed,requirements-test.lock)
