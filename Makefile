# Everything runs from .venv, which is made from requirements.lock; paths are relative, so any directory will do.

PYTHON := .venv/bin/python
WORKERS ?= auto
TESTS = tests
COMPLETE := bridge/oidc/*,bridge/flows/*

# A part of the tests cannot reach the threshold of all of them (pyproject.toml, tool.coverage.report).
ifeq ($(origin TESTS),file)
COVERAGE := --cov --cov-report=term:skip-covered
endif

# An environment that happens to be active must not be written to, nor its modules be found by ours.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH
# The tests start many interpreters: each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench clean environment

help: ## show this text
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: environment ## a Keycloak with people in it, the bridge and an application, until Ctrl-C (PORT=, KEYCLOAK_PORT=)
	@$(PYTHON) -m deploy.demo.run

test: environment ## every test there is, installing what it needs as root on Debian (TESTS="tests/unit", WORKERS=2)
	@$(PYTHON) -m tests.prerequisites
	@$(PYTHON) -m pytest --numprocesses=$(WORKERS) --maxprocesses=8 --dist=loadgroup --ignore=tests/bench $(COVERAGE) $(TESTS)
ifdef COVERAGE
	@$(PYTHON) -m coverage report --include='$(COMPLETE)' --fail-under=100 --format=total >/dev/null || { \
	    $(PYTHON) -m coverage report --include='$(COMPLETE)' --show-missing --skip-covered; \
	    echo "These files must be covered completely: $(COMPLETE)"; exit 1; }
endif

check: environment ## lint, format, types and the import contract
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

bench: environment ## measure, and compare with the numbers promised
	@$(PYTHON) -m tests.bench

clean: ## remove the environment, the demo's data and all caches
	@rm -rf .venv .demo .test .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@.ci/environment
