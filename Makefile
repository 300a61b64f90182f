# `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
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

# Two workers a core, since many tests wait for servers; one that is done early takes over from the others.
test: check ## set up and run all tests and checks
	$(BIN)/pytest -q -n $$((2 * $(CORES))) --dist worksteal tests

check: $(VENV)/dev ## lint, formats, layers, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/python tests/check_layers.py
	$(BIN)/mypy

format: $(VENV)/dev ## put every file in its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Not compiled here, one file after the other, but each module when it is first imported; for the tests on all cores, as they start
# Python a thousand times, and where PYTHONDONTWRITEBYTECODE is set each of these would compile all that it imports.
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

# In an environment of its own: no test needs it.
$(VENV)-docs/done: requirements-docs.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

docs: $(VENV)-docs/done ## build the documentation site: site/index.html; with search: python3 -m http.server -d site
	@NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet

image: ## build the image arena-hard, which runs the demo: docker run --rm arena-hard
	docker build --tag arena-hard .

test-slurm: $(VENV)/dev ## install and start a real Slurm here (Debian, root), run the tests on it, with vLLM where it is built, stop it
	$(BIN)/python tests/slurm/cluster.py install
	$(BIN)/python tests/slurm/cluster.py start
	$(BIN)/pytest -q -n 6 tests/slurm && $(BIN)/pytest -q tests/vllm/test_whole_line.py; status=$$?; $(BIN)/python tests/slurm/cluster.py stop; exit $$status

test-vllm: $(VENV)/dev ## build an environment of vLLM's CPU version (3.8 GB, Python 3.11), run the tests on it
	tests/vllm/install.sh $(PYTHON)
	$(BIN)/pytest -q tests/vllm

clean: ## remove what runs and tests left, never a judgment
	rm -rf .pytest_cache .ruff_cache .mypy_cache report.html
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
