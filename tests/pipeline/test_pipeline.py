"""The whole method through its commands, as the released code's README uses them, also interrupted."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import evaluate_run
import get_trajectories
import run_distributed_trajectories
import select_s2l
import train
from tests.conftest import PROJECT, pool_rows, run_here, run_script, write_jsonl


@pytest.fixture
def proxy(make_config, res_dir) -> Path:
    """A trained proxy: the path of its YAML."""
    config = make_config("proxy", trajectories={"examples_per_unit": 10})
    assert run_here(train, "--config_file", config) == 0
    return config


def target_settings(**subset) -> dict:
    return {
        "subset": {"trajectories_from": "proxy", "budget": 30, "num_clusters": 4, **subset},
        "checkpoints": {"count": 1},
    }


def test_usage_of_the_released_readme(make_config, res_dir):
    """Its commands, on local model and data, do what its reader expects."""
    config = make_config("proxy")
    key = "0123456789abcdef0123456789abcdef01234567"
    answer = run_script(
        "train.py",
        "--config_file",
        config,
        "--wandb_key",
        key,
        torchrun=2,
        WANDB_BASE_URL="http://127.0.0.1:9",
    )
    assert "cannot be reached" in answer.stderr, "no network: tracked locally, told, no hang"
    assert list((res_dir / "proxy/wandb").glob("offline-run-*"))
    written = [path for path in res_dir.rglob("*") if path.is_file()]
    assert not [path for path in written if key.encode() in path.read_bytes()], "the key reaches no file"
    assert key not in answer.stdout + answer.stderr
    assert {path.name for path in (res_dir / "proxy").glob("checkpoint-*")} == {
        "checkpoint-4",
        "checkpoint-8",
        "checkpoint-12",
    }

    trajectories = res_dir / "proxy/trajectories"
    words = ("--model_path", res_dir / "proxy", "--config_file", config)
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "8") == 0
    assert {path.stem for path in trajectories.glob("checkpoint-*.npy")} == {"checkpoint-8"}
    assert run_here(run_distributed_trajectories, *words, "--checkpoints", "4:8:4") == 0
    assert {path.stem for path in trajectories.glob("checkpoint-*.npy")} == {"checkpoint-4", "checkpoint-8"}
    assert run_here(run_distributed_trajectories, *words, "--checkpoints", "8,12") == 0
    assert run_here(run_distributed_trajectories, *words, "--checkpoints", "all") == 0
    assert {path.stem for path in trajectories.glob("checkpoint-*.npy")} == {
        "checkpoint-4",
        "checkpoint-8",
        "checkpoint-12",
    }

    target = make_config("target", **target_settings())
    run_script("train.py", "--config_file", target, "--wandb_key", key, torchrun=2, WANDB_MODE="offline")
    indices = np.load(res_dir / "target/subset/indices.npy")
    assert len(indices) == 30
    manifest = json.loads((res_dir / "target/manifest.json").read_text())
    assert manifest["status"] == "complete" and manifest["inputs"]["num_rows"] == 30
    assert (res_dir / "target/checkpoint-4/model.safetensors").is_file()


def test_checkpoints_in_an_output_folder_and_from_another_trainer_are_found(res_dir, tmp_path, proxy, capsys):
    foreign = tmp_path / "foreign/output"
    shutil.copytree(res_dir / "proxy/checkpoint-4", foreign / "checkpoint-100")
    words = ("--config_file", proxy, "--ckpt")
    assert run_here(get_trajectories, *words, "100", "--model_path", foreign.parent) == 0
    assert (res_dir / "proxy/trajectories/checkpoint-100.npy").is_file(), "results go to the config's run"
    assert run_here(get_trajectories, *words, "7") == 1
    assert "found no checkpoint of step 7, expected some of 4, 8, 12" in capsys.readouterr().err


def test_same_configs_give_the_same_subset(make_config, res_dir, proxy):
    assert run_here(run_distributed_trajectories, "--config_file", proxy) == 0
    for run in ("one", "two"):
        assert select_s2l.main(["--config_file", str(make_config(run, **target_settings()))]) == 0
    one, two = (np.load(res_dir / run / "subset/indices.npy") for run in ("one", "two"))
    np.testing.assert_array_equal(one, two)


def test_a_subset_of_losses_that_were_made_otherwise_or_are_gone_says_so(make_config, res_dir, proxy, capsys):
    assert run_here(run_distributed_trajectories, "--config_file", proxy) == 0
    target = make_config("target", **target_settings())
    assert run_here(select_s2l, "--config_file", target, "data.max_length=200") == 0
    assert (
        "at data.max_length 160: a training on this subset has data.max_length 200" in capsys.readouterr().err
    )
    assert run_here(train, "--config_file", target, "--dry_run") == 0
    assert "are not there" not in capsys.readouterr().err
    shutil.rmtree(res_dir / "proxy/trajectories")
    assert run_here(train, "--config_file", target, "--dry_run") == 0
    assert "the trajectories of proxy are not there" in capsys.readouterr().err


def test_subset_is_refused_after_its_pool_changed(make_config, tmp_path, proxy, capsys):
    assert run_here(run_distributed_trajectories, "--config_file", proxy) == 0
    target = make_config("target", **target_settings())
    assert run_here(train, "--config_file", target) == 0
    pool = tmp_path / "pool.jsonl"
    pool.write_text(pool.read_text().replace("How many", "How few", 1))
    capsys.readouterr()
    assert run_here(train, "--config_file", target, "--overwrite") == 1
    assert "pool" in capsys.readouterr().err
    assert run_here(select_s2l, "--config_file", target, "--overwrite") == 1
    assert "another pool" in capsys.readouterr().err
    assert run_here(run_distributed_trajectories, "--config_file", proxy) == 1
    message = capsys.readouterr().err
    assert "pool" in message and "max_length" not in message


def test_trajectories_made_elsewhere_select_without_a_model(make_config, res_dir, tmp_path):
    losses_NT = np.random.default_rng(0).random((90, 5), np.float32)
    np.save(tmp_path / "losses.npy", losses_NT)
    config = make_config("target", **target_settings(trajectories_from=str(tmp_path / "losses.npy")))
    assert select_s2l.main(["--config_file", str(config), "model.tokenizer=/nowhere"]) == 0
    assert len(np.load(res_dir / "target/subset/indices.npy")) == 30


def start(*words: str | Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=PROJECT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_scoring_ends_in_the_same_bits(res_dir, proxy):
    words = ("--config_file", proxy, "--model_path", res_dir / "proxy")
    assert run_here(run_distributed_trajectories, *words, "run_name=whole") == 0
    parts = res_dir / "killed/trajectories/parts"
    process = start("run_distributed_trajectories.py", *words, "run_name=killed")
    deadline = time.monotonic() + 120
    while not list(parts.glob("*/*/unit-1.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    kill(process)
    assert not (res_dir / "killed/trajectories/checkpoint-12.npy").exists(), "killed half way"
    assert run_here(run_distributed_trajectories, *words, "run_name=killed") == 0
    for step in (4, 8, 12):
        whole, killed = (
            (res_dir / run / f"trajectories/checkpoint-{step}.npy").read_bytes()
            for run in ("whole", "killed")
        )
        assert whole == killed
    assert not list(parts.glob("*/*")), "nothing is left over"


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9, 1.2])
def test_killed_selection_leaves_a_whole_subset_or_none(make_config, res_dir, tmp_path, delay):
    np.save(tmp_path / "losses.npy", np.random.default_rng(0).random((90, 5), np.float32))
    config = make_config("target", **target_settings(trajectories_from=str(tmp_path / "losses.npy")))
    process = start("select_s2l.py", "--config_file", config)
    time.sleep(delay)
    kill(process)
    files = {path.name for path in (res_dir / "target/subset").glob("*")}
    whole = {
        "indices.npy",
        "centroids.npy",
        "clusters.npy",
        "reasons.npy",
        "composition.json",
        "subset.jsonl",
        "manifest.json",
    }
    assert files in (set(), whole)
    assert select_s2l.main(["--config_file", str(config)]) == 0
    assert {path.name for path in (res_dir / "target").iterdir()} == {"subset", ".locks", "config.yml"}


def evaluation_results(folder: Path) -> list[dict]:
    """Without what may differ between two times: when and by which command."""
    results = [json.loads((folder / f"{name}.json").read_text()) for name in ("first", "second")]
    of_the_launch = {"provenance", "sha256"}  # the latter is of the former too
    return [{key: value for key, value in result.items() if key not in of_the_launch} for result in results]


def test_killed_evaluation_ends_in_the_same_results(make_config, res_dir, tmp_path, proxy):
    questions = [{"instruction": row["instruction"], "answer": "1"} for row in pool_rows(40, seed=1)]
    for name in ("first", "second"):
        write_jsonl(tmp_path / f"{name}.jsonl", questions)
    benchmarks = {name: str(tmp_path / f"{name}.jsonl") for name in ("first", "second")}
    config = make_config("proxy", evaluation={"benchmarks": benchmarks, "max_new_tokens": 40})
    folder = res_dir / "proxy/evaluation"
    assert run_here(evaluate_run, "--config_file", config) == 0
    whole = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    results = evaluation_results(folder)
    shutil.rmtree(folder)
    process = start("evaluate_run.py", "--config_file", config)
    deadline = time.monotonic() + 120
    while not (folder / "first.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    kill(process)
    assert not (folder / "second.json").exists(), "killed half way"
    first = (folder / "first.json").stat().st_mtime_ns
    assert run_here(evaluate_run, "--config_file", config) == 0
    assert (folder / "first.json").stat().st_mtime_ns == first, "what was there is not done again"
    assert {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} == whole
    assert evaluation_results(folder) == results


def run_with_file_limit(num_bytes: int, *words: str | Path) -> subprocess.CompletedProcess:
    """As on a disk that fills up: a write beyond the limit fails with an OSError."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes)),
        timeout=120,
    )


def test_full_disk_leaves_nothing_half_written(make_config, res_dir, proxy):
    answer = run_with_file_limit(
        300,
        "get_trajectories.py",
        "--config_file",
        proxy,
        "--ckpt",
        "4",
        "trajectories.examples_per_unit=500",
    )
    assert answer.returncode == 1 and "File too large" in answer.stderr
    assert not list((res_dir / "proxy/trajectories").rglob("checkpoint-*.npy"))
    assert run_here(run_distributed_trajectories, "--config_file", proxy) == 0
    target = make_config("target", **target_settings())
    answer = run_with_file_limit(600, "select_s2l.py", "--config_file", target)
    assert answer.returncode == 1 and "File too large" in answer.stderr
    assert not (res_dir / "target/subset").exists()
    answer = run_with_file_limit(40_000, "train.py", "--config_file", target, "run_name=full", "subset=null")
    assert answer.returncode != 0
    assert not list((res_dir / "full").glob("checkpoint-*"))
    assert run_here(train, "--config_file", target, "run_name=full", "subset=null") == 0
    assert (res_dir / "full/checkpoint-12/model.safetensors").is_file()
