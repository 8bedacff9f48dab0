"""Whatever happens to a file below res/, a command says one clear error or comes to the right result."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import compare_runs
import select_s2l
from tests.artifacts import examples
from tests.conftest import write_jsonl
from utils.artifacts.evaluations import EvaluationManifest, EvaluationResult, write_result
from utils.artifacts.files import write_json
from utils.artifacts.manifests import Manifest
from utils.artifacts.paths import RunPaths
from utils.artifacts.trainings import TrainingManifest
from utils.artifacts.trajectories import write
from utils.artifacts.trajectories.manifest import TrajectoriesManifest
from utils.artifacts.trajectories.read import read_trajectories
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.schema import DataConfig
from utils.data.pool import Pool

NUM_OLD = 60  # rows that the subset was chosen from; the extended pool has some more
NUM_ROWS = 70
STEPS = (500, 1000)
# People read and edit these, and a command reads no number from them.
NOT_CHECKED = {"config.yml", "log.txt", "metrics.jsonl"}

Damage = Callable[[bytes], bytes | None]


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code.
        said: standard output and standard error.
        made: what it left that is the same each time.
    """

    code: int
    said: str
    made: Any


@dataclass(frozen=True)
class Prepared:
    """A folder of results, and what each command makes of it."""

    folder: Path
    files: list[str]
    right: dict[str, Any]

    def copy(self) -> Path:
        """The results anew, always in the same place."""
        res = self.folder / "res"
        shutil.rmtree(res, ignore_errors=True)
        shutil.copytree(self.folder / "prepared", res)
        return res

    def run(self, name: str, res: Path) -> Outcome:
        """Run a command on these results."""
        words, made = COMMANDS[name]
        text = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("S2L_RES_DIR", str(res))
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                script = compare_runs if name == "compare" else select_s2l
                code = script.main([word.replace("FOLDER", str(self.folder)) for word in words])
            return Outcome(code, text.getvalue(), None if code else made(text.getvalue(), res))


def compared(_: str, res: Path) -> Any:
    values = json.loads((res / "comparisons/target_vs_whole/comparison.json").read_text())
    return [values[name] for name in ("measures", "differences", "arms", "runs")]


def subset_of(run_name: str) -> Callable[[str, Path], Any]:
    def made(_: str, res: Path) -> Any:
        return [np.load(res / run_name / f"subset/{name}.npy").tolist() for name in ("indices", "clusters")]

    return made


def said(text: str, _: Path) -> Any:
    return text


COMMANDS: dict[str, tuple[list[str], Callable[[str, Path], Any]]] = {
    "choose again": (["--config_file", "FOLDER/target.yml"], subset_of("target")),
    "choose another": (["--config_file", "FOLDER/target.yml", "run_name=new", "seed=1"], subset_of("new")),
    "extend": (["--config_file", "FOLDER/extended.yml"], subset_of("extended")),
    "explain": (["--config_file", "FOLDER/target.yml", "--explain", "7"], said),
    "stability": (
        ["--config_file", "FOLDER/target.yml", "--stability"],
        lambda _, res: json.loads((res / "target/subset/stability.json").read_text()),
    ),
    "inspect": (
        ["--config_file", "FOLDER/target.yml", "--inspect"],
        lambda _, res: json.loads((res / "target/inspection.json").read_text()),
    ),
    "compare": (["target", "whole"], compared),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    folder = tmp_path_factory.mktemp("damage")
    res = folder / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2L_RES_DIR", str(res))
        rows = [
            {"instruction": f"Question {row}?", "output": f"Answer {row}.", "source": "abc"[row % 3]}
            for row in range(NUM_ROWS)
        ]
        write_jsonl(folder / "old.jsonl", rows[:NUM_OLD])
        write_jsonl(folder / "new.jsonl", rows)
        losses_NT = np.random.default_rng(0).gamma(2, 1, (NUM_ROWS, 2)).astype(np.float32)
        write_trajectories("proxy", folder / "old.jsonl", losses_NT[:NUM_OLD])
        write_trajectories("grown", folder / "new.jsonl", losses_NT)
        write_yaml(folder / "target.yml", "target", folder / "old.jsonl", trajectories_from="proxy")
        write_yaml(
            folder / "extended.yml", "extended", folder / "new.jsonl",
            trajectories_from="grown", extend="target", budget=25,
        )  # fmt: skip
        assert select_s2l.main(["--config_file", str(folder / "target.yml")]) == 0
        write_evaluated_run("target", {"method": "s2l", "seed": 5}, num_right=6)
        write_evaluated_run("whole", None, num_right=3)
    files = sorted(str(path.relative_to(res)) for path in res.rglob("*") if path.stat().st_size)
    files = [name for name in files if (res / name).is_file()]
    made = Prepared(folder, files, {})
    for name in COMMANDS:
        outcome = made.run(name, made.copy())
        assert outcome.code == 0, outcome.said
        made.right[name] = outcome.made
    return made


def write_trajectories(run_name: str, pool: Path, losses_NT: np.ndarray) -> None:
    data = DataConfig(path=str(pool))
    inputs = {
        **examples.SCORING_INPUTS,
        "pool": Pool(data).fingerprint,
        "num_examples": len(losses_NT),
        "max_length": data.max_length,
    }
    folder = TrajectoryFolder(RunPaths(run_name).trajectories)
    weights = {step: f"weights at {step}" for step in STEPS}
    folder.begin(ScoringRequest(inputs, weights, np.full(len(losses_NT), 3, np.int32)))
    for step, losses_N in zip(STEPS, losses_NT.T, strict=True):
        folder.finish(step, len(losses_N), [(np.arange(len(losses_N)), {"loss": losses_N}, 1.0)])


def write_yaml(path: Path, run_name: str, pool: Path, **subset: Any) -> None:
    values = {
        "run_name": run_name,
        "data": {"path": str(pool)},
        "subset": {"num_clusters": 3, "budget": 20, **subset},
    }
    path.write_text(yaml.safe_dump(values))


def write_manifest(kind: type[Manifest], values: dict[str, Any], path: Path) -> None:
    write_json(path, values)
    kind.read(path).write(path)


def write_evaluated_run(name: str, subset: dict[str, Any] | None, num_right: int) -> None:
    paths = RunPaths(name)
    training = {**examples.TRAINING, "inputs": {**examples.TRAINING_INPUTS, "subset": subset}}
    write_manifest(TrainingManifest, training, paths.manifest)
    inputs = {**examples.EVALUATION_INPUTS, "files": {"known": "2" * 64}}
    write_manifest(EvaluationManifest, {**examples.EVALUATION, "inputs": inputs}, paths.evaluation_manifest)
    lines = [{"correct": number < num_right, "correct_strict": number < 2} for number in range(8)]
    result = EvaluationResult(
        status="complete",
        inputs={**examples.EVALUATION_INPUTS, "file": "2" * 64},
        measured={"questions": 8, "accuracy": num_right / 8, "accuracy_strict": 0.25},
        provenance=EvaluationManifest.read(paths.evaluation_manifest).provenance,
    )
    write_result(paths.evaluation, "known", result, lines)


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """What can happen to the bytes of a file. None: it is gone."""
    kind = draw(st.sampled_from(["bit", "bytes", "cut", "zeros", "longer", "gone", "text", "digit"]))
    place = draw(st.floats(0, 1, exclude_max=True))
    value = draw(st.integers(0, 255))
    length = draw(st.integers(1, 40))
    text = draw(st.sampled_from([b"", b"{}", b"[]", b"null", b"\x93NUMPY", b"\xff\xfe", b"[" * 100_000]))

    def damage(contents: bytes) -> bytes | None:
        start = int(place * len(contents))
        if kind == "gone":
            return None
        if kind == "cut":
            return contents[:start]
        if kind == "longer":
            return contents[:start] + bytes(length) + contents[start:]
        if kind == "text":
            return text
        changed = bytearray(contents)
        if kind == "bit":
            changed[start] ^= 1 << value % 8
        elif kind == "digit":  # what JSON and people take for another number
            digits = [number for number, byte in enumerate(contents) if chr(byte).isdigit()]
            if digits:
                changed[digits[int(place * len(digits))]] = ord("0") + value % 10
        else:
            changed[start : start + length] = bytes([value if kind == "bytes" else 0]) * length
        return bytes(changed)

    return damage


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_file_gives_one_clear_error_or_the_right_result(prepared, data):
    command = data.draw(st.sampled_from(list(COMMANDS)), "command")
    file = data.draw(st.sampled_from(prepared.files), "file")
    damage = data.draw(damages(), "damage")
    res = prepared.copy()
    contents = damage((res / file).read_bytes())
    if contents is None:
        (res / file).unlink()
    else:
        (res / file).write_bytes(contents)
    outcome = prepared.run(command, res)
    if outcome.code == 0:
        assert outcome.made == prepared.right[command] or Path(file).name in NOT_CHECKED
    else:
        assert outcome.code == 1
        assert outcome.said.count("error:") == 1 and "Traceback" not in outcome.said, outcome.said


WRONG_ROWS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda rows: rows[:-1],
    lambda rows: np.concatenate([[-1], rows[1:]]),
    lambda rows: np.concatenate([rows[:-1], [NUM_OLD]]),
    lambda rows: rows.astype(np.int32),
    lambda rows: rows[:, None],
    lambda rows: rows[::-1],
    lambda rows: rows[[0, *range(len(rows) - 1)]],
]


@pytest.mark.parametrize("has_checksums", [True, False], ids=["this version", "an earlier version"])
def test_row_numbers_that_cannot_be_a_subset_are_refused(prepared, has_checksums):
    for wrong in WRONG_ROWS:
        res = prepared.copy()
        folder = res / "target/subset"
        np.save(folder / "indices.npy", wrong(np.load(folder / "indices.npy")))
        if not has_checksums:
            examples.forget_checksums(folder / "manifest.json")
        outcome = prepared.run("explain", res)
        assert outcome.code == 1 and "indices.npy" in outcome.said


def test_other_rows_in_a_subset_are_refused(prepared):
    res = prepared.copy()
    path = res / "target/subset/indices.npy"
    rows = np.load(path)
    np.save(path, np.setdiff1d(np.arange(NUM_OLD), rows)[: len(rows)])
    outcome = prepared.run("explain", res)
    assert outcome.code == 1 and "indices.npy: found other contents than were written" in outcome.said


def test_losses_are_read_while_another_job_writes_others(res_dir, tmp_path):
    """Into the same folder, and at any moment of its work."""
    pool = write_jsonl(tmp_path / "pool.jsonl", [{"instruction": "Why?", "output": "So."}] * 5)
    losses_NT = np.arange(10, dtype=np.float32).reshape(5, 2)
    write_trajectories("proxy", pool, losses_NT)
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    inputs = TrajectoriesManifest.read(RunPaths("proxy").trajectories_manifest).inputs
    pieces = [(np.arange(5), {"loss": np.zeros(5, np.float32)}, 1.0)]

    def check() -> None:
        read = read_trajectories("proxy", list(STEPS))
        np.testing.assert_array_equal(np.stack(read.columns, axis=1), losses_NT)

    folder.begin(ScoringRequest(inputs, {1500: "weights"}, np.full(5, 3, np.int32)))
    check()
    with pytest.MonkeyPatch.context() as patch:

        def interrupted(*_: object) -> None:  # between the losses' file and the manifest
            check()
            raise KeyboardInterrupt

        patch.setattr(write, "checksums_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder.finish(1500, 5, pieces)
    check()
    assert folder.begin(ScoringRequest(inputs, {1500: "weights"}, np.full(5, 3, np.int32))) == []
    folder.quantity(1500).write_bytes(b"")
    check()
    with pytest.raises(ValueError, match=r"checkpoint-1500.npy: found other contents"):
        read_trajectories("proxy", [1500])


def test_unfinished_parts_of_an_earlier_version_count(res_dir, tmp_path):
    """Those of the checkpoints that are scored: another launch may be at work on the rest."""
    pool = write_jsonl(tmp_path / "pool.jsonl", [{"instruction": "Why?", "output": "So."}] * 5)
    write_trajectories("proxy", pool, np.zeros((5, 2), np.float32))
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    inputs = TrajectoriesManifest.read(RunPaths("proxy").trajectories_manifest).inputs
    for step in (1500, 1600, 1700):
        (folder.parts / f"checkpoint-{step}-0123456789ab").mkdir(parents=True)
        (folder.parts / f"checkpoint-{step}-0123456789ab/unit-0.npz").touch()
    folder.begin(ScoringRequest(inputs, {1600: "weights"}, np.full(5, 3, np.int32)))
    there = {path.relative_to(folder.parts).as_posix() for path in folder.parts.rglob("unit-0.npz")}
    assert there == {
        "checkpoint-1500-0123456789ab/unit-0.npz",
        "checkpoint-1600/0123456789ab/unit-0.npz",
        "checkpoint-1700-0123456789ab/unit-0.npz",
    }
