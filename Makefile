# Everything here works from a fresh clone, as root or not, under any path, on its own services.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n > 4 ? 4 : n )))
ROUNDS ?= 100
PACKAGES := cryptobot trading risk leadership ops
# What Django's own deployment checks look at: a live desk, with secrets that only have to look real.
LIVE := EXCHANGE_PROFILE=live RISK_CHECKS_ENABLED=1 DATABASE_URL=postgresql://app@127.0.0.1/cryptobot \
	REDIS_URL=redis://127.0.0.1/0 \
	$(foreach name,SECRET_KEY FIELD_ENCRYPTION_KEY AUDIT_HMAC_KEY,$(name)=$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(64))'))
# A command on an embedded PostgreSQL and Valkey of its own, gone when it ends.
THROWAWAY := $(PYTHON) -m cryptobot.embedded
MANAGE := $(PYTHON) manage.py

.PHONY: help run demo test check schema translations faults bench lock clean browser

help: ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.run: requirements.txt deploy/venv.sh
	@deploy/venv.sh requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt deploy/venv.sh
	@deploy/venv.sh requirements-dev.txt
	@touch .venv/.run $@

run: .venv/.run ## a whole desk, until Ctrl-C (PORT, DATA_DIR, EXCHANGE_PROFILE ...)
	@exec $(MANAGE) run

demo: .venv/.run ## drive the whole story through a running desk (PORT, DATA_DIR)
	@exec $(MANAGE) demo

test: .venv/.dev browser ## all tests, on their own services
	@exec $(PYTHON) -m pytest -q -n $(WORKERS) --dist loadgroup $(ARGS)

check: .venv/.dev ## format, lint, types, import contracts, Django, migrations, API snapshot
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(THROWAWAY) $(PYTHON) -m mypy $(PACKAGES) tests conftest.py manage.py
	.venv/bin/lint-imports
	@echo "manage.py check --deploy (live)"; $(LIVE) $(MANAGE) check --deploy --fail-level WARNING
	$(THROWAWAY) $(MANAGE) makemigrations --check --dry-run
	$(THROWAWAY) $(PYTHON) -m cryptobot.translations
	@echo "docs/openapi.yaml is the schema of the code"; \
	$(THROWAWAY) $(MANAGE) spectacular --validate --fail-on-warn | diff -u docs/openapi.yaml - \
		|| { echo "the API changed: make schema, and read the diff" >&2; exit 1; }

schema: .venv/.dev ## write docs/openapi.yaml from the code
	$(THROWAWAY) $(MANAGE) spectacular --validate --fail-on-warn --file docs/openapi.yaml

translations: .venv/.dev ## add missing texts to locale/ru and compile it
	$(THROWAWAY) $(PYTHON) -m cryptobot.translations --write

faults: .venv/.dev ## ROUNDS=100 of killed and stopped processes; non-zero when anything was violated
	@env ROUNDS=$(ROUNDS) IN_TIME=1 $(PYTHON) -m tests.faults
	@exec env ROUNDS=$(ROUNDS) $(PYTHON) -m tests.faults.leadership

bench: .venv/.dev ## our figures beside reference figures of the same run
	@$(PYTHON) -m tests.bench
	@$(PYTHON) -m tests.bench.gate
	@$(PYTHON) -m tests.bench.alerts
	@$(PYTHON) -m tests.bench.execution
	@exec $(PYTHON) -m tests.bench.leadership

lock: .venv/.dev ## compile the lock files from pyproject.toml
	@deploy/lock.sh

browser: # journeys through a real browser: Debian's own chromium where we may install it
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium for the browser journeys"; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium) \
			>/dev/null 2>&1 || echo "no chromium: the browser journeys will skip"; \
	fi

clean: ## remove what was built; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
