"""The commands of a page make all that it shows: also what their manifests have the last of several of."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.examples import PROVENANCE, SUBSET, TRAINING, TRAJECTORIES
from tests.reporting.page.artifacts import experiment
from utils.artifacts.experiments import read_experiment
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths, manifest_in
from utils.reporting.page.gathering.steps import read_steps


def by(command: str) -> dict[str, Any]:
    return {"provenance": {**PROVENANCE, "command": ["python3.11", *shlex.split(command)]}}


def trained(run: str, base: str = "m") -> None:
    model = {**TRAINING["inputs"]["model"], "name_or_path": base}
    made = {**TRAINING["provenance"], **by(f"train.py --config_file {run}.yml")["provenance"]}
    values = {**TRAINING, "inputs": {**TRAINING["inputs"], "model": model}, "provenance": made}
    write_json(RunPaths(run).manifest, values)


def scored(run: str, steps: list[int], command: str) -> None:
    checkpoints = {str(step): "f" * 64 for step in steps}
    values = {**TRAJECTORIES, "checksums": None, "checkpoints": checkpoints, "steps": steps, **by(command)}
    write_json(RunPaths(run).trajectories_manifest, values)


def chosen(run: str, origin: str | None) -> None:
    trajectories = origin and {"from": origin, "steps": [6]}
    write_json(manifest_in(RunPaths(run).subset), {**SUBSET, "trajectories": trajectories, "checksums": None})


@pytest.fixture
def commands_of(alone: Path) -> Callable[..., list[str]]:
    """Of an experiment with these arms."""

    def commands(*runs: str) -> list[str]:
        experiment("exp", list(runs), [])
        return [step.command for step in read_steps([], read_experiment("exp"), None, [])]

    return commands


def test_every_run_whose_losses_chose_rows_is_made_first(commands_of, alone):
    """Also the model whose checkpoints scored the pool for it, and the one that this began from."""
    trained("proxy")
    scored("proxy", [0, 2, 6], "get_trajectories.py --config_file proxy.yml seed=3 --ckpt 0")
    trained("tuned", base=str(alone / "proxy/checkpoint-6"))
    path = f"--model_path {alone / 'tuned'}"
    scored("tuned_pool", [0, 6], f"get_trajectories.py --config_file tuned.yml data.path=p {path} --ckpt=-1")
    chosen("s2l", "proxy")
    chosen("tacs", "tuned_pool")
    chosen("random", None)
    proxy = "python run_distributed_trajectories.py --config_file proxy.yml seed=3 --checkpoints 0,2,6"
    pool = f"python run_distributed_trajectories.py --config_file tuned.yml data.path=p {path}"
    expected = ["python train.py --config_file proxy.yml", "python train.py --config_file tuned.yml"]
    *made, whole = commands_of("tacs", "random", "s2l")
    assert made == [*expected, f"{pool} --checkpoints 0,6", proxy]
    assert whole.startswith("python run_experiment.py")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/s2l/run_distributed_trajectories.py --config_file p.yml --checkpoints 6 --overwrite",
         "/s2l/run_distributed_trajectories.py --config_file p.yml"),
        ("train.py --config_file p.yml", "train.py --config_file p.yml"),
        ("notebook.py --checkpoints", "notebook.py --checkpoints"),
    ],
)  # fmt: skip
def test_all_checkpoints_of_a_training_need_not_be_listed(commands_of, command, expected):
    trained("proxy")
    scored("proxy", TRAINING["inputs"]["save_steps"], command)
    chosen("s2l", "proxy")
    assert commands_of("s2l")[1] == f"python {expected}"


def test_losses_of_a_file_are_no_run(commands_of, tmp_path):
    chosen("s2l", str(tmp_path / "losses.npy"))
    assert len(commands_of("s2l")) == 1
