# `make quickstart` and `make test` work on a fresh machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
QUICKSTART := configs/quickstart

.PHONY: install quickstart quickstart-arms test lint lock clean

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
	$(RUN) evaluate.py --config_file $(QUICKSTART)/target_s2l.yml
	$(RUN) evaluate.py --config_file $(QUICKSTART)/target_random.yml
	$(RUN) evaluate.py --compare quickstart_s2l quickstart_random

# S2L, two random controls and the whole pool, three seeds of each, compared. What is done already is not done again.
quickstart-arms: install
	$(RUN) -m utils.data.synthetic --output_dir res/quickstart_data
	$(RUN) evaluate.py --arms $(QUICKSTART)/arms.yml

test: install
	$(RUN) -m pytest -q

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright

# Newest versions that pyproject.toml admits, into the lock file.
lock:
	$(PYTHON) -m venv --clear .lock-venv
	.lock-venv/bin/python -m pip install --quiet '.[test]'
	{ echo "# Every package, pinned; made by \`make lock\` and installed by every make target. torch brings the CUDA packages of its build."; \
	  .lock-venv/bin/python -m pip freeze --exclude s2l | grep -Ev '^(nvidia-|cuda-|triton)' | sed -E 's/^(torch==[0-9.]+)\+.*/\1/'; } > requirements.lock
	rm -rf .lock-venv build s2l.egg-info

clean:
	rm -rf $(VENV) res/.cache res/quickstart_*
