"""Validation rows are never chosen, and targeted methods compare with their losses and no others."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from tests.artifacts.examples import TRAINING
from tests.conftest import write_jsonl
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import REASONS, read_subset
from utils.artifacts.trajectories.manifest import ScoringRecord, TrajectoriesManifest
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.schema import DataConfig, RunConfig
from utils.data.pool import Pool
from utils.selection.checks.explain import explain_row
from utils.selection.plan import plan_selection
from utils.selection.resolve import chosen_rows, rows_of_subset
from utils.stages import select

NUM_ROWS = 120
STEPS = [0, 10, 20, 30, 40]


def row_of(number: int) -> dict[str, str]:
    return {"source": "aab"[number % 3], "instruction": f"Question {number}?", "output": f"Answer {number}."}


# Rows 5 and 6 of the pool, whatever their sources, and rows of source a alone that are in no pool.
_OF_THE_POOL = [{**row_of(row), "source": "a"} for row in (5, 6)]
VALIDATION = [*_OF_THE_POOL, *(row_of(row) for row in range(300, 312, 3))]


@pytest.fixture
def place(tmp_path: Path, res_dir: Path) -> Path:
    write_jsonl(tmp_path / "pool.jsonl", [row_of(row) for row in range(NUM_ROWS)])
    write_jsonl(tmp_path / "aim.jsonl", VALIDATION)
    rng = np.random.default_rng(0)
    pool_NT = (rng.gamma(2, 1, (NUM_ROWS, 1)) * rng.uniform(0.5, 1.5, (NUM_ROWS, 5))).astype(np.float32)
    pool_NT[[11, 12], 2] = np.nan
    aim_VT = (rng.gamma(2, 1, (len(VALIDATION), 1)) * rng.uniform(0.5, 1.5, (6, 5))).astype(np.float32)
    aim_VT[3, 1] = np.nan
    folder = RunPaths("proxy").trajectories
    write_losses(folder, tmp_path / "pool.jsonl", pool_NT)
    write_losses(RunPaths("proxy").validation_trajectories, tmp_path / "aim.jsonl", aim_VT)
    return tmp_path


def write_losses(path: Path, file: Path, losses_NT: np.ndarray, weights: str = "weights") -> None:
    num_rows = len(losses_NT)
    inputs = {
        "pool": Pool(DataConfig(path=str(file))).fingerprint,
        "num_examples": num_rows,
        "template": "alpaca",
        "tokenizer": "t",
        "max_length": 512,
        "precision": "float32",
    }
    folder = TrajectoryFolder(path)
    checkpoints = {step: f"{weights} {step}" for step in STEPS}
    folder.begin(ScoringRequest(inputs, checkpoints, np.full(num_rows, 3, np.int32)), overwrite=True)
    for step, losses_N in zip(STEPS, losses_NT.T, strict=True):
        folder.finish(step, num_rows, [(np.arange(num_rows), {"loss": losses_N}, 0.0)])


def config_of(
    place: Path, run_name: str = "target", validation: str | None = "aim.jsonl", **subset
) -> RunConfig:
    data = {"path": str(place / "pool.jsonl"), "validation": validation and str(place / validation)}
    subset = {"trajectories_from": "proxy", "budget": 30, "num_clusters": 3} | subset
    return RunConfig.model_validate({"run_name": run_name, "seed": 0, "data": data, "subset": subset})


def chosen(place: Path, run_name: str, **settings) -> list[int]:
    select(config_of(place, run_name, **settings))
    return read_subset(RunPaths(run_name).subset).indices.tolist()


def read_losses(folder: Path) -> np.ndarray:
    return np.stack([np.load(folder / f"checkpoint-{step}.npy") for step in STEPS], axis=1)


@pytest.mark.parametrize("method", ["s2l", "random", "cld", "tacs", "longest", "prune_then_select"])
def test_neither_validation_rows_nor_rows_without_a_loss_are_chosen_by_any_method(place, method, capsys):
    rows = chosen(place, method, method=method, budget=1.0)
    assert sorted(set(range(NUM_ROWS)) - set(rows)) == [5, 6, 11, 12]
    assert "note: 2 rows of data.validation in the pool: not selectable" in capsys.readouterr().err
    inputs = read_subset(RunPaths(method).subset).manifest.inputs
    assert inputs["validation"] == Pool(DataConfig(path=str(place / "aim.jsonl"))).fingerprint
    assert explain_row(config_of(place, method, method=method, budget=1.0), 5).reason == "validation row"
    reasons = np.load(RunPaths(method).subset / "reasons.npy")[[5, 6, 11]]
    assert [REASONS[number] for number in reasons] == ["validation row", "validation row", "no loss"]
    again = chosen(place, f"{method}_again", method=method, budget=20)
    assert set(again) < set(rows) and again == chosen(place, f"{method}_third", method=method, budget=20)


def test_validation_rows_of_which_none_is_in_the_pool_are_not_spoken_of(place, capsys):
    new = [{"instruction": "not in the pool", "output": "5", "source": "a"}]
    write_jsonl(place / "new.jsonl", new)
    chosen_by = config_of(place, "random", validation="new.jsonl", method="random")
    select(chosen_by)
    assert "data.validation" not in capsys.readouterr().err


def test_cld_compares_each_source_with_its_own_validation_rows_and_others_with_all(place, capsys):
    rows = chosen(place, "cld", method="cld")
    assert "1 source without validation rows (b): compared with all of them" in capsys.readouterr().err
    aim_T = np.delete(read_losses(RunPaths("proxy").validation_trajectories), 3, axis=0)[:, 1:].mean(axis=0)
    losses_NT = read_losses(RunPaths("proxy").trajectories)[:, 1:]
    selectable = [row for row in range(NUM_ROWS) if row not in (5, 6, 11, 12)]
    score = {
        row: np.corrcoef(np.diff(losses_NT[row].astype(float)), np.diff(aim_T))[0, 1] for row in selectable
    }
    best = {
        source: sorted(
            (row for row in selectable if row_of(row)["source"] == source), key=lambda r: -score[r]
        )
        for source in "ab"
    }
    assert rows == sorted([*best["a"][:15], *best["b"][:15]])


def test_tacs_takes_the_rows_that_lose_most_of_their_loss(place):
    losses_NT = read_losses(RunPaths("proxy").trajectories)
    share_N = (losses_NT[:, 0] - losses_NT[:, -1]) / losses_NT[:, 0]
    selectable = [row for row in range(NUM_ROWS) if row not in (5, 6, 11, 12)]
    best = sorted(selectable, key=lambda row: -share_N[row])[:30]
    assert chosen(place, "tacs", method="tacs") == sorted(best)


def test_losses_of_the_base_model_that_were_made_anew_ask_for_another_subset(place):
    chosen(place, "tacs", method="tacs")
    chosen(place, "s2l", method="s2l")
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    inputs = TrajectoriesManifest.read(folder.path / "manifest.json").inputs
    folder.begin(ScoringRequest(inputs, {0: "another base"}, np.full(NUM_ROWS, 3, np.int32)), overwrite=True)
    folder.finish(0, NUM_ROWS, [(np.arange(NUM_ROWS), {"loss": np.ones(NUM_ROWS, np.float32)}, 0.0)])
    chosen(place, "s2l", method="s2l")  # does not read them
    with pytest.raises(ValueError, match="made from other inputs:\n  losses of the base model: there"):
        chosen(place, "tacs", method="tacs")


@pytest.mark.parametrize("method", ["cld", "tacs"])
def test_limits_hold_for_methods_that_aim(place, method):
    (place / "in.txt").write_text("1\n2\n")
    (place / "out.txt").write_text("3\n4\n")
    limits = {"min_per_source": 9, "max_per_source": {"a": 19}}
    limits |= {"include": str(place / "in.txt"), "exclude": str(place / "out.txt")}
    rows = chosen(place, "limited", method=method, **limits)
    of_a = [row for row in rows if row_of(row)["source"] == "a"]
    assert {1, 2} <= set(rows) and not {3, 4} & set(rows) and 9 <= len(of_a) <= 19 and len(rows) == 30


def test_what_does_not_fit_is_refused(place):
    plan = config_of(place, method="cld")
    plan_selection(plan)
    for method in ("cld", "tacs"):
        with pytest.raises(ValueError, match=f"data.validation: missing, and method {method} needs it"):
            plan_selection(config_of(place, method=method, validation=None))
    (place / "in.txt").write_text("5\n")
    with pytest.raises(
        ValueError, match=r"subset.include and data.validation are in conflict: 1 row .* row 5"
    ):
        plan_selection(config_of(place, include=str(place / "in.txt")))
    write_jsonl(place / "other.jsonl", VALIDATION[:3])
    with pytest.raises(ValueError, match="holds losses of other rows than"):
        plan_selection(config_of(place, method="cld", validation="other.jsonl"))
    losses_VT = read_losses(RunPaths("proxy").validation_trajectories)
    write_losses(RunPaths("proxy").validation_trajectories, place / "aim.jsonl", losses_VT, weights="others")
    with pytest.raises(ValueError, match=r"other checkpoints than the pool's at steps \[10, 20, 30, 40\]"):
        plan_selection(plan)
    write_losses(
        RunPaths("proxy").validation_trajectories, place / "aim.jsonl", np.full_like(losses_VT, np.nan)
    )
    with pytest.raises(ValueError, match="has a loss at every checkpoint, expected at least one"):
        plan_selection(plan)
    for file in RunPaths("proxy").validation_trajectories.iterdir():
        if file.is_file():
            file.unlink()
    with pytest.raises(FileNotFoundError, match=r"score them beside the pool with .*data.validation=FILE"):
        plan_selection(plan)


def test_a_subset_made_with_other_validation_rows_is_not_reused(place):
    chosen(place, "target")
    with pytest.raises(ValueError, match=r"validation: there \w+\.\.\., now nothing"):
        plan_selection(config_of(place, validation=None))
    assert json.loads((RunPaths("target").subset / "manifest.json").read_text())["inputs"]["validation"]


def test_smaller_budgets_of_targeted_methods_are_inside_larger_ones(place):
    for method in ("cld", "tacs"):
        sizes = [chosen(place, f"{method}{budget}", method=method, budget=budget) for budget in (7, 30, 81)]
        for smaller, larger in itertools.pairwise(sizes):
            assert set(smaller) < set(larger)


def test_validation_rows_do_not_come_in_with_the_subset_of_another_run(place):
    rows = chosen(place, "other", validation=None, budget=1.0)
    assert {5, 6} < set(rows)
    config = config_of(place, same_as="other", budget=1.0)
    with pytest.raises(
        ValueError, match=r"other/subset holds 2 rows of .*aim.jsonl: rows? 5, 6: choose that"
    ):
        rows_of_subset(config, Pool(config.data_section))
    chosen(place, "careful", budget=1.0)
    config = config_of(place, same_as="careful", budget=1.0)
    assert rows_of_subset(config, Pool(config.data_section)).rows.tolist() == sorted(set(rows) - {5, 6})
    elsewhere = config_of(place, same_as="other", budget=1.0, validation="elsewhere.jsonl")
    write_jsonl(place / "elsewhere.jsonl", [row_of(500)])
    assert rows_of_subset(elsewhere, Pool(elsewhere.data_section)).rows.tolist() == rows


def test_how_many_validation_rows_a_run_on_the_whole_pool_trains_on_is_said(place):
    config = config_of(place).model_copy(update={"subset": None})
    found = chosen_rows(config, Pool(config.data_section))
    assert found is not None and len(found.rows) == NUM_ROWS
    assert found.remarks == ["2 rows of data.validation in the pool, all of which is trained on"]


def test_tacs_chooses_by_a_proxy_that_was_tuned_on_the_validation_rows(place):
    def warning_of(**settings) -> str:
        return " ".join(plan_selection(config_of(place, **settings)).warnings)

    assert "may have been trained on other rows than" in warning_of(method="tacs")
    of_aim = Pool(DataConfig(path=str(place / "aim.jsonl"))).fingerprint
    write_json(RunPaths("proxy").manifest, {**TRAINING, "inputs": {**TRAINING["inputs"], "pool": "p"}})
    with pytest.raises(ValueError, match="were trained on other rows than"):
        warning_of(method="tacs")
    assert "tacs" not in warning_of(method="longest")
    write_json(RunPaths("proxy").manifest, {**TRAINING, "inputs": {**TRAINING["inputs"], "pool": of_aim}})
    assert not warning_of(method="tacs")
    # As the scorer records it, where another run scores the pool by these checkpoints. Step 0 keeps it.
    RunPaths("proxy").manifest.unlink()
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    inputs = TrajectoriesManifest.read(folder.path / "manifest.json").inputs
    for step, trained_on in ((40, of_aim), (0, None)):
        request = ScoringRequest(
            inputs,
            {step: f"weights {step}"},
            np.full(NUM_ROWS, 3, np.int32),
            record=ScoringRecord(trained_on=trained_on),
        )
        folder.begin(request, overwrite=True)
        folder.finish(
            step, NUM_ROWS, [(np.arange(NUM_ROWS), {"loss": np.full(NUM_ROWS, 3, np.float32)}, 0.0)]
        )
    assert not warning_of(method="tacs")
