"""The stages as functions: what docs/python.md shows works, and they check what their scripts check."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluate_run
import run_distributed_trajectories
import select_s2l
import train
from tests.conftest import PROJECT, in_one_line, pool_rows, run_here, write_jsonl
from tests.test_docs import blocks
from utils import pipeline


@pytest.fixture
def project(make_config, tmp_path, res_dir) -> Path:
    """A folder with the YAMLs that the page names, and the package under its installed name."""
    heldout = str(write_jsonl(tmp_path / "heldout.jsonl", pool_rows(20, seed=1)))
    make_config("my_proxy", num_rows=40, checkpoints={"count": 2})
    make_config(
        "my_target",
        checkpoints={"count": 1},
        subset={"trajectories_from": "my_proxy", "budget": 16, "num_clusters": 3},
        evaluation={"heldout": heldout, "max_new_tokens": 2},
    )
    shutil.copytree(PROJECT / "utils", tmp_path / "site/s2l", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_page_works_as_it_stands(project, res_dir):
    program = "\n".join(blocks(PROJECT / "docs/python.md", "python"))
    program += (
        "\nimport numpy as np"
        "\nassert losses.losses_NT.shape == (40, len(losses.steps))"
        "\nassert np.isfinite(losses.losses_NT[subset.rows]).all()"
        "\nassert losses.rows.tolist() == list(range(40)) and len(subset.rows) == len(subset.clusters) == 16"
        "\nassert all(set(measure.values) == {'my_target', 'my_random'} for measure in comparison.measures)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "site")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "subset.budget" in answer.stdout.splitlines()[-1], "the last block shows an error"


def test_a_function_finds_what_its_script_made(project, res_dir):
    assert run_here(train, "--config_file", project / "my_proxy.yml") == 0
    assert run_here(run_distributed_trajectories, "--config_file", project / "my_proxy.yml") == 0
    assert run_here(select_s2l, "--config_file", project / "my_target.yml") == 0
    written = {path: path.stat().st_mtime_ns for path in res_dir.rglob("*.npy")}
    assert pipeline.train(project / "my_proxy.yml") == res_dir / "my_proxy/checkpoint-6"
    losses = pipeline.score(project / "my_proxy.yml")
    (subset,) = pipeline.select(project / "my_target.yml")
    assert {path: path.stat().st_mtime_ns for path in res_dir.rglob("*.npy")} == written
    assert losses.steps == [3, 6]
    for step, column_N in zip([3, 6], losses.losses_NT.T, strict=True):
        np.testing.assert_array_equal(
            column_N, np.load(res_dir / f"my_proxy/trajectories/checkpoint-{step}.npy")
        )
    np.testing.assert_array_equal(subset.rows, np.load(res_dir / "my_target/subset/indices.npy"))
    np.testing.assert_array_equal(
        subset.clusters, np.load(res_dir / "my_target/subset/clusters.npy")[subset.rows]
    )
    (renamed,) = pipeline.select(
        project / "my_target.yml", "run_name=again", "subset.same_as=my_target", "subset.budget=1.0"
    )
    np.testing.assert_array_equal(renamed.rows, subset.rows)


SCRIPTS = {
    pipeline.train: train,
    pipeline.score: run_distributed_trajectories,
    pipeline.select: select_s2l,
    pipeline.evaluate: evaluate_run,
}
WRONG = [
    (pipeline.train, "train_args.learning_rat=1"),
    (pipeline.train, "data.path=nowhere.jsonl"),
    (pipeline.train, "subset={budget: [3, 4]}"),
    (pipeline.train, "model.tokenizer=./nowhere"),
    (pipeline.train, "tracking.report_to=wandbb"),
    (pipeline.train, "checkpoints.count=1000"),
    (pipeline.score, "run_name=another"),
    (pipeline.score, "data.columns={prompt: a}"),
    (pipeline.score, "model.tokenizer=./nowhere"),
    (pipeline.select, "subset=null"),
    (pipeline.select, "subset={trajectories_from: nobody, budget: 5}"),
    (pipeline.evaluate, "evaluation.heldout=nowhere.jsonl"),
    (pipeline.evaluate, "run_name=another"),
    (pipeline.evaluate, "model=null"),
]


@pytest.mark.parametrize(("function", "setting"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_function_raises_what_its_script_says(make_config, capsys, function, setting):
    config = make_config("run")
    assert run_here(SCRIPTS[function], "--config_file", config, setting) == 1
    said = in_one_line(capsys.readouterr().err)
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        function(config, setting)
    assert said == f"error: {in_one_line(str(refusal.value))}"
