# make train    sets up .venv and trains the default recipe
# make test     sets up .venv and checks everything
# Each does its own set-up once; it is done again when pyproject.toml or constraints.txt has changed.

PYTHON ?= python3
ARGS ?=
# PyTorch's own wheel index, for those who want its small CPU build on Linux:
#   make train TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PIP_ARGS ?= $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

SHELL := bash
bin := .venv/bin
ready := .venv/.ready

# Datasets that already lie beside the project are used, unless the user named a place.
ifneq ($(wildcard ../shared/data/.),)
MNIST_OPS_DATA ?= $(abspath ../shared/data)
export MNIST_OPS_DATA
endif

.PHONY: help
help:
	@echo 'make train              set up .venv, train the default recipe, write a run folder and its report'
	@echo '                        (make train ARGS="seed --seed 3" trains another; ARGS="--help" lists all options)'
	@echo 'make test               set up .venv, lint, type-check, run every test that can run here'
	@echo 'make bench              measure the speed against two other programs, write docs/performance.md'
	@echo 'make setup              set up .venv alone: the mnist-ops command is then $(bin)/mnist-ops'
	@echo 'make lint, make types   one of the checks of make test (ruff; mypy)'
	@echo 'make pytest             the tests alone (ARGS="-k structure -n 0" picks some, in one process)'
	@echo 'make clean              remove .venv and all caches; runs/ stays'
	@echo 'Variables: PYTHON ($(PYTHON)), TORCH_INDEX (an extra index for PyTorch, such as its CPU builds), ARGS'

.PHONY: train
train: $(ready)
	@$(bin)/mnist-ops train $(ARGS)

# Types are checked beside the tests: half a minute on one core. The summary of the tests is the last thing printed.
.PHONY: test
test: lint
	@$(MAKE) --no-print-directory -j2 types pytest

.PHONY: pytest
pytest: $(ready)
	@$(bin)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(ready)
	@$(bin)/ruff check

.PHONY: types
types: $(ready)
	@$(bin)/mypy --strict

# On a machine that does nothing else: about 15 minutes.
.PHONY: bench
bench: $(ready)
	@$(bin)/python -m benchmarks.bench $(ARGS)

.PHONY: setup
setup: $(ready)

# Of pip's many lines the largest downloads and the last steps are shown; its warnings and errors come through as they
# are, but for those on places in the configuration of pip here that are not there: one for each package and place.
$(ready): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "mnist_ops needs Python 3.11 or newer, and $(PYTHON) is" \
	       "$$($(PYTHON) --version 2>/dev/null || echo 'not there'). Name another one: make setup PYTHON=python3.13" >&2; \
	  exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version); the first time this takes some minutes."
	@$(PYTHON) -m venv .venv
	@set -o pipefail; { $(bin)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[test,lint]' 2>&1 1>&3 \
	  | { grep --line-buffered -v "^WARNING: Location .* is ignored" || true; } >&2; } 3>&1 \
	  | { grep --line-buffered -E '^ *Downloading .*(\([0-9]{3,}(\.[0-9]+)? MB|GB)\)|^Building|^Installing' \
	      | cut -c 1-120 || true; }
	@touch $@
	@echo "Ready: $$($(bin)/python -m pip list --format=freeze | grep -E '^(mnist-ops|torch)==' | tr '\n' ' ')"

.PHONY: clean
clean:
	rm -rf .venv build dist src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
