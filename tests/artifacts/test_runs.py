"""What a run leaves for the person who comes back to it: a list of runs, a log, its config, its pace."""

import json
import re
import sys
from pathlib import Path

import pytest

import get_trajectories
import train
from tests.artifacts.examples import LAUNCH, MODEL, PROVENANCE, SUBSET, TRAINING_INPUTS, WORK, manifest_json
from utils.artifacts.files import write_json
from utils.artifacts.pace import TimeEstimate, scoring_pace, training_pace
from utils.artifacts.paths import RunPaths, manifest_in
from utils.artifacts.runs import find_runs
from utils.artifacts.trainings import TrainingManifest
from utils.artifacts.trajectories.manifest import TrajectoriesManifest
from utils.config.load import load_config
from utils.process.output import copied_to
from utils.reporting.text.runs import run_table
from utils.runs import main

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ")


def write_training(name: str, time: str, status: str = "complete", device: str = "A", **provenance) -> None:
    launch = {
        **LAUNCH,
        "time": time,
        "device_name": device,
        "devices": 2,
        "seconds": 10.0,
        "work": {**WORK, "tokens": 100, "steps_per_epoch": 5},
        **provenance,
    }
    inputs = {**TRAINING_INPUTS, "model": MODEL, "save_steps": [5, 10]}
    training = manifest_json("training", status, inputs, steps=10, provenance=launch)
    write_json(RunPaths(name).manifest, training)


def test_runs_are_listed_as_data_and_the_table_is_made_of_it(res_dir, capsys):
    assert main([]) == 0
    assert f"no run in {res_dir}" in capsys.readouterr().out
    write_training("later", "2026-02-02T10:00:00+00:00", status="running")
    write_training("sooner", "2026-01-01T10:00:00+00:00")
    for step in (5, 10):
        RunPaths("sooner").checkpoint(step).mkdir()
    (RunPaths("sooner").checkpoint(5) / "model.safetensors").write_bytes(b"x" * 5000)
    provenance = {**PROVENANCE, "time": "2026-02-03T10:00:00+00:00"}
    subset = {**SUBSET, "trajectories": {"from": "sooner", "steps": [5]}, "provenance": provenance}
    write_json(manifest_in(RunPaths("later").subset_of(30)), subset)
    write_json(manifest_in(RunPaths("later").root / "subset_backup"), subset)  # somebody's copy
    (RunPaths("later").root / "gone").symlink_to("nowhere")
    RunPaths("later").subset_of(200).mkdir()
    RunPaths("later").subset_of(1000).mkdir()
    assert [path.name for path in RunPaths("later").subsets_of_budgets()] == [
        "subset-30",
        "subset-200",
        "subset-1000",
    ]
    (res_dir / "not_a_run").mkdir()
    (res_dir / ".cache").mkdir()
    runs = find_runs()
    assert [run.name for run in runs] == ["sooner", "later"], "the newest last"
    works = [(work.kind, work.status, work.done, work.planned) for run in runs for work in run.works]
    assert works == [
        ("training", "complete", 2, 2),
        ("training", "running", 0, 2),
        ("subset-30", "complete", 30, None),
    ]
    assert runs[0].num_bytes > 5000 and runs[1].works[1].made_from == "s2l of sooner"
    assert main(["--json"]) == 0
    assert [run["name"] for run in json.loads(capsys.readouterr().out)] == ["sooner", "later"]
    assert len(run_table(runs)) == 1 + 3


def test_an_unreadable_manifest_is_listed_too(res_dir):
    RunPaths("broken").root.mkdir(parents=True)
    RunPaths("broken").manifest.write_text("{")
    assert [(run.name, run.works[0].status) for run in find_runs()] == [("broken", "unreadable")]


def test_each_line_of_the_log_has_its_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--config_file", "my runs/c.yml"])
    with copied_to(tmp_path / "log.txt", "the plan\nin two lines"):
        print("half a line", end=" ")
        print("and the rest\nanother")
        with copied_to(tmp_path / "log.txt", "never"):
            print("said once", file=sys.stderr)
    print("not in the log")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert all(STAMP.match(line) for line in lines)
    command, *said = [STAMP.sub("", line) for line in lines]
    assert command.startswith("$ ") and command.endswith("train.py --config_file 'my runs/c.yml'")
    assert said == ["the plan", "in two lines", "half a line and the rest", "another", "said once"]
    assert "half a line and the rest" in capsys.readouterr().out


def test_the_pace_is_that_of_the_newest_training_of_this_model_on_such_a_device(res_dir):
    assert training_pace(MODEL, "A") is None
    write_training("old", "2026-01-01T10:00:00+00:00", seconds=99.0)
    write_training("new", "2026-01-02T10:00:00+00:00")
    write_training("continued", "2026-01-03T10:00:00+00:00", continued_from="checkpoint-5")
    write_training("elsewhere", "2026-01-04T10:00:00+00:00", device="B")
    pace = training_pace(MODEL, "A")
    assert pace is not None and pace.run_name == "new"
    assert pace.seconds_per_token == pytest.approx(10 * 2 / 200), "two devices, two epochs of 100 tokens"
    assert training_pace({**MODEL, "dtype": "bfloat16"}, "A") is None
    assert pace.time_for(4000, 2) == TimeEstimate(200, "new")


def test_what_is_trained_and_scored_says_when_from_what_and_how_fast(
    make_config, res_dir, tmp_path, monkeypatch, capsys
):
    """A real run: its manifests name the pool by its absolute path and the folder, its log has the plan."""
    config_file = make_config("run", num_rows=20, data={"path": "pool.jsonl"})
    monkeypatch.chdir(tmp_path)
    assert train.main(["--config_file", str(config_file)]) == 0
    assert get_trajectories.main(["--config_file", str(config_file), "--ckpt", "0", "run_name=scored"]) == 0
    for manifest in (
        TrainingManifest.read(RunPaths("run").manifest),
        TrajectoriesManifest.read(RunPaths("scored").trajectories_manifest),
    ):
        assert manifest.data is not None and manifest.data["path"] == "pool.jsonl"
        assert Path(manifest.data["absolute_path"]) == tmp_path / "pool.jsonl"
        assert manifest.provenance.folder == str(tmp_path)
    config, _ = load_config(config_file)
    scored = load_config(RunPaths("scored").config)[0]
    assert scored.run_name == "scored" and scored.data == config.data, (
        "a run that was only scored has its config"
    )
    assert config.model is not None
    device = TrainingManifest.read(RunPaths("run").manifest).provenance.device_name
    assert device is not None
    model = config.model.model_dump(mode="json")
    for pace in (training_pace(model, device), scoring_pace(model, device, "float32")):
        assert pace is not None and pace.seconds_per_token > 0
    capsys.readouterr()
    assert train.main(["--config_file", str(config_file), "--dry_run", "run_name=next"]) == 0
    plan = capsys.readouterr().out
    assert "parameters" in plan and "learning rate 0.001" in plan and "at the pace of run run" in plan
    for name in ("run", "scored"):
        log = RunPaths(name).log.read_text()
        assert "learning rate 0.001" in log or "losses go to" in log


def test_scoring_says_how_far_it_is_within_a_unit(make_config, res_dir, monkeypatch, capsys):
    """Not on a terminal, and with one unit for everything."""
    monkeypatch.setattr("utils.process.reporter._FIRST_PAUSE", 0.0)
    config_file = make_config("run", trajectories={"max_tokens_per_batch": 400})
    assert get_trajectories.main(["--config_file", str(config_file), "--ckpt", "0"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " left, checkpoint 0, " in line]
    tokens = [int(re.findall(r"([\d,]+) of ([\d,]+) tokens", line)[0][0].replace(",", "")) for line in lines]
    assert len(lines) > 5 and tokens == sorted(set(tokens))
