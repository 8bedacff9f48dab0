"""What a tracker receives is what metrics.jsonl holds, and it stays on this machine."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import run_script


def recorded(res_dir: Path, run_name: str) -> dict[int, float]:
    """Step -> training loss, as metrics.jsonl has it."""
    lines = map(json.loads, (res_dir / run_name / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def train_tracked(make_config, tracker: str) -> None:
    """In a process of its own: what a tracker leaves in a process would reach the next test."""
    config = make_config("tracked", num_rows=48, tracking={"report_to": tracker, "project": "small"})
    run_script("train.py", "--config_file", config, "train_args.logging_steps=1")


def test_tensorboard_holds_the_losses_of_metrics_jsonl(make_config, res_dir):
    train_tracked(make_config, "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(res_dir / "tracked/tensorboard")).Reload()
    tracked = {event.step: event.value for event in events.Scalars("train/loss")}
    expected = recorded(res_dir, "tracked")
    assert len(expected) == 6
    assert tracked == pytest.approx(expected, rel=1e-6)


def test_trackio_holds_the_losses_of_metrics_jsonl(make_config, res_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    train_tracked(make_config, "trackio")
    (database,) = (tmp_path / "trackio").glob("small*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT metrics FROM metrics WHERE run_name = 'tracked'").fetchall()
    logged = [json.loads(metrics) for (metrics,) in rows]
    tracked = {line["train/global_step"]: line["train/loss"] for line in logged if "train/loss" in line}
    assert tracked == pytest.approx(recorded(res_dir, "tracked"))
