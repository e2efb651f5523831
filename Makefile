# Everything a developer runs. Each target sets up .venv by itself, and again when pyproject.toml
# changes; `make demo` installs only what the demonstration needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS ?=

# BLAS threads of parallel test processes only wait for each other.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format types bench clean

help:
	@echo "make demo    explain a derivative, train on handwritten digits; writes into build/"
	@echo "make test    all tests (TESTS=tests/nn for some)"
	@echo "make lint    ruff check and ruff format --check"
	@echo "make format  apply ruff's fixes and formatting"
	@echo "make types   mypy --strict"
	@echo "make bench   install the peers and run every program in benchmarks/"
	@echo "make clean   remove the environment and everything built"

demo: $(VENV)/.installed-train
	@mkdir -p build
	$(BIN)/wengert explain "1/(exp(-(w*x+b))+1)" x=1 w=0 b=0 \
		--svg build/logistic.svg --html build/logistic.html
	$(BIN)/wengert train digits --plot build/digits.png
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

bench: $(VENV)/.installed-bench
	@found=0; for program in benchmarks/*.py; do \
		[ -e "$$program" ] || continue; \
		found=1; echo "== $$program"; $(BIN)/python "$$program" || exit 1; \
	done; [ $$found = 1 ] || echo "there is no program in benchmarks/ yet"

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One stamp per extra: $(VENV)/.installed-train, -dev, -bench. A stamp is renewed when
# pyproject.toml is newer; the package itself is installed editable, so its source needs no stamp.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/.created
	@echo "installing wengert[$*] into $(VENV)"
	@$(PIP) install --editable ".[$*]"
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "wengert needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
		echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv or ensurepip module, so no environment can be made." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@
