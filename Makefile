# Start with `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= 2

.PHONY: help demo test check format docs image test-slurm test-vllm clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/run ## set up, judge the embedded example with the demo judge, print the leaderboard
	$(BIN)/snakemake
	@cat results/arena-demo/demo-judge/leaderboard.txt
	@echo "Leaderboard, journals and logs: results/arena-demo/demo-judge/   judgments: results/model_judgment/"

# Two workers per core, because many tests wait for servers; idle workers take tests from busy ones.
test: check ## set up and run all tests and checks
	$(BIN)/pytest -q -n $$((2 * $(CORES))) --dist worksteal tests

check: $(VENV)/dev ## lint, formats, layers, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/python tests/check_layers.py
	$(BIN)/mypy

format: $(VENV)/dev ## format all files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# --no-compile: modules are compiled when they are first imported. For the tests all are compiled below, on all cores, because tests
# start Python a thousand times, and with PYTHONDONTWRITEBYTECODE each start would compile its imports again.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: requirements.txt constraints.txt | $(BIN)/pip
	$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt requirements.txt constraints.txt | $(BIN)/pip
	$(INSTALL) -r requirements-dev.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $(VENV)/run $@

# In a separate environment: no test needs it.
$(VENV)-docs/done: requirements-docs.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

docs: $(VENV)-docs/done ## build the documentation site: site/index.html; with search: python3 -m http.server -d site
	@NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet

image: ## build the image arena-hard, which runs the demo: docker run --rm arena-hard
	docker build --tag arena-hard .

test-slurm: $(VENV)/dev ## install and start a real Slurm here (Debian, root), run the tests on it (with vLLM if built), stop it
	$(BIN)/python tests/slurm/cluster.py install
	$(BIN)/python tests/slurm/cluster.py start
	$(BIN)/pytest -q -n 6 tests/slurm && $(BIN)/pytest -q tests/vllm/test_whole_line.py; status=$$?; $(BIN)/python tests/slurm/cluster.py stop; exit $$status

test-vllm: $(VENV)/dev ## build an environment with vLLM's CPU version (3.8 GB, Python 3.11), run its tests
	tests/vllm/install.sh $(PYTHON)
	$(BIN)/pytest -q tests/vllm

clean: ## remove temporary files of runs and tests, never a judgment
	rm -rf .pytest_cache .ruff_cache .mypy_cache report.html
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
