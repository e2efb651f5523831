# Everything a developer runs. Each target sets up .venv by itself, and again when pyproject.toml
# changes; `make demo` installs only what the demonstration needs.

PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS ?=
BENCHMARKS ?=

# BLAS threads of parallel test processes only wait for each other.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format types bench clean

help:
	@echo "make demo    explain a derivative, train on digits, syntax trees and text; writes into build/"
	@echo "make test    all tests (TESTS=tests/nn for some)"
	@echo "make lint    ruff check and ruff format --check"
	@echo "make format  apply ruff's fixes and formatting"
	@echo "make types   mypy --strict"
	@echo "make bench   install the peers and run every program in benchmarks/ (BENCHMARKS=gelu for some)"
	@echo "make clean   remove the environment and everything built"

demo: $(VENV)/.installed-train
	@mkdir -p build
	$(BIN)/wengert explain "1/(exp(-(w*x+b))+1)" x=1 w=0 b=0 \
		--svg build/logistic.svg --html build/logistic.html
	$(BIN)/wengert train digits --plot build/digits.png
	$(BIN)/python examples/tree_lstm.py
	$(BIN)/python examples/sequences.py
	@echo
	@echo "drawing of the graph:        build/logistic.svg"
	@echo "the derivative, to step by:  build/logistic.html"
	@echo "loss and accuracy:           build/digits.png"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto $(TESTS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# The peers have an environment of their own: heavy or old, they must not decide what the tests use.
bench: $(BENCH)/.installed
	$(BENCH)/bin/python benchmarks/run_all.py $(BENCHMARKS)

clean:
	rm -rf $(VENV) $(BENCH) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One stamp per extra: $(VENV)/.installed-train, -dev. A stamp is renewed when pyproject.toml is
# newer; the package itself is installed editable, so its source needs no stamp.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/.created
	@echo "installing wengert[$*] into $(VENV)"
	@$(PIP) install --editable ".[$*]"
	@touch $@

# PyTensor 3.0.7 asks for a numba that asks for an older LLVM than wengert's, and works with the
# newer one: so it is installed without its requirements, which the extra names.
$(BENCH)/.installed: pyproject.toml | $(BENCH)/.created
	@echo "installing wengert[bench] into $(BENCH); a gigabyte or two"
	@$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --editable ".[bench]"
	@$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps pytensor==3.0.7
	@touch $@

$(VENV)/.created $(BENCH)/.created: %/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "wengert needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
		echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv or ensurepip module, so no environment can be made." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$*/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $*
	@touch $@
