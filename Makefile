# Every target builds .venv by itself, once. Nothing has to be installed or activated first.
PYTHON ?= python3
PY := .venv/bin/python
TEST_ARGS ?=
FAULT_ARGS ?=
BENCH_ARGS ?=

.PHONY: demo test lint format parity parity-full slow faults bench docs clean

demo: .venv/.ready ## train a LeNet on handwritten digits and show the result
	@$(PY) experiments/digits_lenet.py --run runs/demo --fresh --overwrite

test: .venv/.ready ## the default tests, seven to eight minutes on two cores
	@$(PY) -m pytest -q -n 2 $(TEST_ARGS)

slow: .venv/.ready ## the tests that take minutes each
	@$(PY) -m pytest -q -m slow $(TEST_ARGS)

faults: .venv/.ready ## break one run 300 times, and files, disks, data; counts in faults.json
	@nice $(PY) -m tests.faults --json faults.json $(FAULT_ARGS)

lint: .venv/.ready ## style
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .

format: .venv/.ready ## rewrite to the style
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

parity: .venv/.parity ## equal to torchvision, timm and Keras for the same weights; thorough tests
	@$(PY) -m pytest -q -n 2 -m '(parity or thorough) and not (parity_full or slow)' $(TEST_ARGS)

parity-full: .venv/.parity ## the same for every variant and more sizes; an hour
	@$(PY) -m pytest -q -m 'parity or parity_full or thorough' $(TEST_ARGS)

bench: .venv/.parity ## speed next to PyTorch, Keras and plain Flax; half an hour
	@$(PY) -m benchmarks limits
	@$(PY) -m benchmarks startup
	@$(PY) -m benchmarks steps --models lenet resnet20_cifar mobilenet_v2 --budget 10 $(BENCH_ARGS)

docs: .venv/.docs ## the documentation as a site in site/
	@$(PY) -m mkdocs build --quiet --strict

clean: ## remove what the other targets made
	@rm -rf .venv site .pytest_cache .ruff_cache

# install EXTRAS: quietly into .venv; the log is shown only if it fails.
define install
	if command -v uv >/dev/null 2>&1; then \
	  uv pip install --quiet --python $(PY) --constraint constraints.txt --editable '.[$(1)]'; \
	else \
	  $(PY) -m pip install --constraint constraints.txt --editable '.[$(1)]' >.venv/install.log 2>&1; \
	fi || { cat .venv/install.log 2>/dev/null | tail -n 20 >&2; echo "The installation failed; see above." >&2; exit 1; }
endef

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "jaxcnn needs Python 3.11 to 3.13: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up .venv (once; a minute or two) ..."
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --clear --python $(PYTHON) .venv 2>/dev/null \
	    || uv venv --quiet --python $(PYTHON) .venv; \
	  else $(PYTHON) -m venv --clear .venv; fi
	@$(call install,dev)
	@touch $@

.venv/.parity: .venv/.ready
	@echo "Installing PyTorch and torchvision for the comparison ..."
	@$(call install,parity)
	@touch $@

.venv/.docs: .venv/.ready
	@$(call install,docs)
	@touch $@
