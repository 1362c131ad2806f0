# Two commands do everything, each setting up what it needs:
#   make run     retrain on the embedded MNIST, score the samples, write the reports
#   make test    lint, types, tests

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
# What looks at a release from outside has an environment of its own, and no place in the lock.
TOOLS := .tools
TOOLS_READY := $(TOOLS)/.ready
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint types tests explore live torture coverage format lock audit sbom clean

run: $(READY)
	$(VENV)/bin/digitline run

# All three at once, for tests wait more than they work.
test: $(READY)
	@$(MAKE) --no-print-directory --jobs --keep-going lint types tests

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(READY)
	$(VENV)/bin/mypy

tests: $(READY)
	$(VENV)/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# The laws that hold for all input, tried on examples not tried before. One that fails becomes an
# `@example` of its test.
explore: $(READY)
	$(VENV)/bin/pytest --numprocesses 2 --hypothesis-profile explore -m hypothesis

# The service and clusters for real, with schedules, kills and restarts: some minutes.
live: $(READY)
	DIGITLINE_TEST_LIVE=1 $(VENV)/bin/pytest -m live

# All attacks as often as they are meant, some hours, or a share of that: make torture TORTURE=0.1.
# What is cut off goes on when it is started again; bench/torture.md grows row by row.
torture: export TORTURE ?= 1
torture: $(READY)
	nice $(VENV)/bin/pytest --verbose tests/torture

coverage: $(READY)
	$(VENV)/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

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

# Known vulnerabilities of the locked packages. Needs the network, so it is no part of `make test`.
audit: $(TOOLS_READY)
	@$(TOOLS)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip \
		--strict --progress-spinner off 2>$(TOOLS)/audit.log; code=$$?; \
	cat $(TOOLS)/audit.log >&2; \
	if grep -qE '^ERROR|Error:' $(TOOLS)/audit.log; then \
		echo "make audit: the vulnerability service did not answer for every package: nothing is vouched for." >&2; \
		exit 1; \
	fi; exit $$code

# A bill of materials of the locked packages, as CycloneDX.
sbom: $(TOOLS_READY)
	mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py requirements --output-reproducible \
		--output-file dist/digitline.cdx.json requirements.lock

$(TOOLS_READY): Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --disable-pip-version-check --quiet install \
		pip-audit==2.10.1 cyclonedx-bom==7.5.0
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .coverage htmlcov
