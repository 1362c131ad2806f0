# Two commands do everything, each setting up what it needs:
#   make run     retrain on the embedded MNIST, score the samples, write the reports
#   make test    lint, types, tests

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint types tests live torture coverage format lock clean

run: $(READY)
	$(VENV)/bin/digitline run

test: lint types tests

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(READY)
	$(VENV)/bin/mypy

tests: $(READY)
	$(VENV)/bin/pytest --numprocesses 2 --dist loadfile

# The service for real, with schedules, kills and restarts: some minutes.
live: $(READY)
	DIGITLINE_TEST_LIVE=1 $(VENV)/bin/pytest tests/live

# All attacks as often as they are meant, some hours, or a share of that: make torture TORTURE=0.1.
# What is cut off goes on when it is started again; bench/torture.md grows row by row.
torture: export TORTURE ?= 1
torture: $(READY)
	nice $(VENV)/bin/pytest --verbose tests/torture

coverage: $(READY)
	$(VENV)/bin/pytest --numprocesses 2 --dist loadfile --cov --cov-report=term

format: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The environment is made anew when what it holds changes, and only then. The lock names all there
# is to install; pip is not to resolve again, for it would take other versions for extras.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Digitline needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (a minute or two, once) ..."
	$(PIP) install --require-hashes --no-deps --requirement requirements.lock
	$(PIP) check
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

lock:
	uv pip compile --universal --python-version 3.11 --extra dev --upgrade \
		--generate-hashes --no-emit-index-url --no-annotate --no-header \
		--quiet --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .torture .mypy_cache .ruff_cache .pytest_cache .coverage htmlcov
