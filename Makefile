# Everything a person does here, by name. `make help` lists it.
# A machine needs Python 3.11 or later with venv, and make; the rest is installed into .venv.

# The interpreter is the gateway's engine: one that was built with optimizations serves a call for a tenth less. Where
# python3 was not (pyenv builds it so), the system's own is taken if it is new enough; PYTHON=python3 is taken as it is.
PYTHON ?= $(shell for each in python3 /usr/bin/python3 /usr/local/bin/python3; do \
	$$each -c $(FIT) >/dev/null 2>&1 && echo $$each && exit; done; echo python3)
FIT := 'import ensurepip, sys, sysconfig, venv; sys.exit(sys.version_info < (3, 11) or not \
	(sys.base_prefix == "/usr" or "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")))'
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
# The machine's own certificates, as pip has them: a company's proxy is trusted there and nowhere else.
UV := UV_PROJECT_ENVIRONMENT=$(VENV) UV_SYSTEM_CERTS=1 $(BIN)/uv
JOBS ?= 2
# What `make compiled` makes: the package with its data path in C, taken by `serve` and `bench` while no source is newer.
COMPILED := build/compiled
SOURCES = $(shell find src/portico -name '*.py') hatch_build.py pyproject.toml uv.lock
FRESH = $(shell [ -e $(COMPILED)/.made ] && $(MAKE) --question $(COMPILED)/.made && echo yes)

.DEFAULT_GOAL := help
.PHONY: help serve compiled mock test prove check format bench drill docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.run ## run the gateway (ARGS="--config portico.yaml")
	@exec $(if $(FRESH),env PORTICO_WORKER_PATH=$(CURDIR)/$(COMPILED)) $(BIN)/portico serve $(ARGS)

compiled: $(COMPILED)/.made ## compile the way of a call for this machine: two fifths less CPU (takes a C compiler)

mock: $(VENV)/.run ## run a stand-in provider, to try things without a key (ARGS="--port 9999")
	@exec $(BIN)/portico mock $(ARGS)

test: $(VENV)/.dev ## install what the tests need, and pass every test
	@sh tests/install.sh
	$(BIN)/pytest -n $(JOBS) --dist loadgroup $(ARGS)

prove: $(VENV)/.dev ## the long proofs: fuzzing, crash rounds, soak
	@sh tests/install.sh
	$(BIN)/pytest --prove -m prove -n 0 $(ARGS)

check: $(VENV)/.dev ## lint, types, import contracts
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## put the code into its one format
	$(BIN)/ruff format src tests bench
	$(BIN)/ruff check --fix src tests bench

bench: $(VENV)/.dev ## measure against nginx, LiteLLM and Portkey on this machine (ARGS="--quick")
	@sh tests/install.sh
	@$(MAKE) --no-print-directory compiled || echo "WARNING nothing is compiled: the source is measured as it is" >&2
	$(BIN)/python bench/run.py $(ARGS)

drill: $(VENV)/.dev ## an outage under load, with its plot in docs/explanation (ARGS="--rate 400 --limit 220")
	$(BIN)/python -m bench.drill $(ARGS)

docs: $(VENV)/.dev ## write the generated pages of the documentation
	$(BIN)/python -m portico.config.reference > docs/reference/configuration.md
	$(BIN)/python -m portico.dialects.crossing_page > docs/reference/crossing.md
	$(BIN)/python -m portico.providers.prices_page > docs/reference/prices.md
	$(BIN)/python -m portico.providers.bounds_page > docs/explanation/bounds.md

clean: ## remove what was installed and made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build bench/results

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Portico needs Python 3.11 or later; set PYTHON=")'
	@$(PYTHON) -c 'import sys; print("taking Python", sys.version.split()[0], "at", sys.executable, file=sys.stderr)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.run: pyproject.toml uv.lock | $(BIN)/uv
	@echo "installing into $(VENV), once" >&2
	@$(UV) sync --quiet --compile-bytecode --frozen --inexact
	@touch $@

$(VENV)/.dev: pyproject.toml uv.lock | $(BIN)/uv
	@$(UV) sync --quiet --compile-bytecode --frozen --group dev
	@touch $@ $(VENV)/.run

$(COMPILED)/.made: $(SOURCES) | $(BIN)/uv
	@$(UV) sync --quiet --compile-bytecode --frozen --inexact --group compile
	@echo "compiling the data path into $(COMPILED), which takes a minute or two" >&2
	@rm -rf build
	@PORTICO_COMPILED=1 $(UV) build --wheel --no-build-isolation --python $(BIN)/python --out-dir build/wheel >build.log 2>&1 \
		|| { grep -v "warning: " build.log | tail -n 20 >&2; exit 1; }
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --target $(COMPILED) build/wheel/portico-*.whl
	@mv build.log build/build.log && touch $@
