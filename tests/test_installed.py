"""Installed into somebody's project the package is `s2l`, and leaves the project's own `utils` alone."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import PROJECT, pool_rows, run_here, write_jsonl

TRAINER_SCRIPT = """
import utils  # the project's own
from s2l.config.load import load_config
from s2l.scoring import TrajectoryCallback
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers import Trainer, TrainingArguments, default_data_collator

assert utils.WHOSE == "the project's"


class Rows(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, row):
        return {"input_ids": [row % 9 + 1] * 8, "labels": [row % 9 + 1] * 8}


config, _ = load_config("my_proxy.yml")
trainer = Trainer(
    model=AutoModelForCausalLM.from_pretrained("base"),
    args=TrainingArguments(
        "out", per_device_train_batch_size=4, max_steps=4, save_steps=2, report_to="none", use_cpu=True
    ),
    train_dataset=Rows(),
    data_collator=default_data_collator,
    processing_class=AutoTokenizer.from_pretrained("base"),
)
trainer.add_callback(TrajectoryCallback(config))
trainer.train()
"""


def test_every_folder_of_the_package_is_installed():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [
        path.parent.relative_to(PROJECT / "utils") for path in (PROJECT / "utils").rglob("__init__.py")
    ]
    assert sorted(settings["packages"]) == sorted(".".join(["s2l", *folder.parts]) for folder in folders)


@pytest.fixture
def site(tmp_path) -> Path:
    """What pip puts into site-packages, from a copy: building leaves folders behind."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "utils", source / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    words = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site"), str(source)]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True, timeout=240)
    return tmp_path / "site"


def test_the_doctor_finds_nothing_wrong_where_the_package_is_installed(site, tmp_path):
    """That needs a pipeline that trains, scores and selects, and all that is no Python file."""
    assert {"schema.json", "experiment.json"} <= {path.name for path in (site / "s2l/config").iterdir()}
    templates = site / "s2l/reporting/page/templates"
    assert {"page.html", "page.css", "page.js"} <= {path.name for path in templates.iterdir()}
    answer = subprocess.run(
        [sys.executable, "-m", "s2l.doctor"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    lines = answer.stdout.splitlines()
    assert answer.returncode == 0 and lines[-1] == "nothing is wrong", answer.stdout + answer.stderr
    assert any(line.startswith("self-test") and "trained, scored and chose" in line for line in lines)
    assert not (tmp_path / "res").exists(), "it leaves nothing behind"


def test_a_trainer_of_ones_own_beside_a_utils_of_ones_own(site, make_config, res_dir, tmp_path):
    import train

    assert {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")} == {"s2l"}
    base = make_config("base", num_rows=30, checkpoints={"count": 1})
    assert run_here(train, "--config_file", base) == 0
    project = tmp_path / "project"
    shutil.copytree(res_dir / "base/checkpoint-4", project / "base")
    write_jsonl(project / "pool.jsonl", pool_rows(30))
    values = {"run_name": "mine", "model": {"name_or_path": "base"}, "data": {"path": "pool.jsonl"}}
    (project / "my_proxy.yml").write_text(yaml.safe_dump(values))
    (project / "utils.py").write_text('WHOSE = "the project\'s"\n')
    (project / "finetune.py").write_text(TRAINER_SCRIPT)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "S2L_RES_DIR")
    }
    subprocess.run(
        [sys.executable, "finetune.py"],
        cwd=project,
        env={**environment, "PYTHONPATH": str(site)},
        check=True,
        timeout=240,
    )
    columns = [np.load(project / f"res/mine/trajectories/checkpoint-{step}.npy") for step in (2, 4)]
    assert all(losses.shape == (30,) and np.isfinite(losses).all() for losses in columns)
    assert not np.array_equal(*columns)
