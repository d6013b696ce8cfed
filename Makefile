# 证链 Zhenglian. Every target sets up what it needs; `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
FLOORS := keys verifier ledger api
CODE := $(FLOORS) tests $(wildcard bench)
# Two workers: the suite is written for two cores.
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS)
UV_VERSION := 0.13.9

.PHONY: help setup run test test-long broken check bench docs format lock clean
.DEFAULT_GOAL := help

help:
	@echo "make run        an embedded demo city under var/, and the address to open"
	@echo "make test       set up everything and run the whole suite"
	@echo "make check      style, types, import rules, documents"
	@echo "make bench      measured ratios, also written to var/bench.json"
	@echo "make test-long  the tests that take minutes"
	@echo "make broken     the ledger under hundreds of faults, and a table (an hour)"
	@echo "make docs       rewrite the generated pages under docs/"
	@echo "make format     let ruff format and repair"
	@echo "make lock       resolve the lock files anew"
	@echo "make clean      remove the environment and caches; var/ stays"

# --- the environment ---------------------------------------------------------------------------

# Two stamps, so that `make run` installs only what running takes.
RUN_STAMP := $(VENV)/.run-ready
DEV_STAMP := $(VENV)/.dev-ready
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Sets $$found: the first Python that is new enough and can make an environment.
define find_python
found=""; bare=""; \
for python in $$PYTHON python3 python3.14 python3.13 python3.12 python3.11 python; do \
  command -v $$python >/dev/null 2>&1 || continue; \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
  if $$python -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; fi; \
  bare=$${bare:-$$python}; \
done; \
if [ -z "$$found" ] && [ -n "$$bare" ]; then \
  version=$$($$bare -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
  echo "$$bare cannot make an environment. $$bare 无法建立虚拟环境。Type:" >&2; \
  echo "  sudo apt-get install python$$version-venv" >&2; \
  exit 1; \
fi; \
if [ -z "$$found" ]; then \
  echo "No Python 3.11 or newer was found. 没有找到 Python 3.11 或更高版本。" >&2; \
  echo "  Debian/Ubuntu:  sudo apt-get install python3 python3-venv" >&2; \
  echo "  macOS:          brew install python" >&2; \
  echo "  elsewhere:      make PYTHON=/path/to/python3" >&2; \
  exit 1; \
fi
endef

$(BIN)/python:
	@$(find_python); echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN_STAMP): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what running takes (once; about a minute)"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(RUN_STAMP)
	@echo "Installing what checking and testing take (once)"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(DEV_STAMP)

# --- the main job ------------------------------------------------------------------------------

run: $(RUN_STAMP)
	@$(BIN)/zhenglian run

# --- checks and tests --------------------------------------------------------------------------

check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(FLOORS)
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/docs --ignore=tests/docs/test_ceremonies.py

test: $(DEV_STAMP) host-tools
	$(PYTEST) -m "not long"

test-long: $(DEV_STAMP) host-tools
	$(PYTEST) -m long

broken: $(DEV_STAMP) host-tools
	@$(BIN)/python -m tests.broken

# What only a package manager and root can bring; tests that need it skip and say so.
.PHONY: host-tools
host-tools:
	@missing=""; \
	command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || \
	  command -v google-chrome >/dev/null 2>&1 || \
	  [ -d "/Applications/Google Chrome.app" ] || [ -d "/Applications/Chromium.app" ] || \
	  missing="$$missing chromium"; \
	if ! command -v softhsm2-util >/dev/null 2>&1; then \
	  if [ "$$(uname)" = Darwin ]; then missing="$$missing softhsm"; \
	  else missing="$$missing softhsm2"; fi; \
	fi; \
	if ! PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null 2>&1; then \
	  if [ "$$(uname)" = Darwin ]; then missing="$$missing nginx"; \
	  else missing="$$missing nginx-light"; fi; \
	fi; \
	if [ "$$(uname)" = Linux ] && ! fc-list :lang=zh 2>/dev/null | grep -q "Noto"; then \
	  missing="$$missing fonts-noto-cjk"; \
	fi; \
	if [ "$$(uname)" = Linux ]; then \
	  command -v strace >/dev/null 2>&1 || missing="$$missing strace"; \
	  command -v ip >/dev/null 2>&1 || missing="$$missing iproute2"; \
	fi; \
	if [ -n "$$missing" ]; then \
	  echo "Not on this machine:$$missing. Tests that need them are skipped and named. Type:"; \
	  if [ "$$(uname)" = Darwin ]; then echo "  brew install$$missing"; \
	  else echo "  sudo apt-get install$$missing"; fi; \
	fi

bench: $(DEV_STAMP)
	@$(BIN)/python -m bench

# --- upkeep ------------------------------------------------------------------------------------

docs: $(DEV_STAMP)
	$(BIN)/python -m tests.docs.pages

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade --extra server

lock: | $(BIN)/python
	$(INSTALL) uv==$(UV_VERSION)
	$(COMPILE) --group build -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	  .import_linter_cache
