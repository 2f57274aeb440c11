# The commands of this repository; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help install run test test-long check format lock clean

PYTHON_BIN := .venv/bin
TESTS ?= tests
ARGS ?=
# Tests mostly wait, so three workers fit two cores. A few tests finish sooner without workers.
WORKERS ?= $(if $(filter tests,$(TESTS)),3,0)
# A test that hangs prints its stack and ends its worker.
PYTEST = $(PYTHON_BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	--max-worker-restart 3 -o faulthandler_timeout=$(1) -o faulthandler_exit_on_timeout=true $(TESTS)
# A few failed tests run once more, alone, so that a busy machine fails no test.
define RUN_TESTS
	@$(call PYTEST,$(1)) || $(PYTHON_BIN)/python -m tests.support.run.retry_failed $$? $(1)
endef

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Set up .venv with the rollbook command
	@.ci/bootstrap run

run: install ## Install, then run Rollbook here with its data in .rollbook (ARGS="--port 9000")
	@$(PYTHON_BIN)/rollbook up $(ARGS)

# Compiled modules are stored, also where the machine forbids it: else each process of a test would
# compile them again.
test test-long check: export PYTHONDONTWRITEBYTECODE =

test: .development ## Run the tests, the long ones in a short form (TESTS=tests/domain for some)
	$(call RUN_TESTS,180)

test-long: export ROLLBOOK_TEST_SCALE = 10
test-long: .development ## Run the tests, the long ones in full
	$(call RUN_TESTS,1800)

check: .development ## Format, lint, types, import rules and tests: the same as CI
	@$(PYTHON_BIN)/ruff format --check
	@$(PYTHON_BIN)/ruff check
	@$(PYTHON_BIN)/pyright
	@$(PYTHON_BIN)/lint-imports
	$(call RUN_TESTS,180)

format: .development ## Format the code and sort its imports
	@$(PYTHON_BIN)/ruff check --select I --fix --quiet
	@$(PYTHON_BIN)/ruff format

lock: .development ## Pin the packages of pyproject.toml (UPGRADE=--upgrade for the newest)
	@.ci/lock $(UPGRADE)

clean: ## Remove all installed and generated files, but no data
	@rm -rf .venv .tools .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: .development
.development:
	@.ci/bootstrap dev
