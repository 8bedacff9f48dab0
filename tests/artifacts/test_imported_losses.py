"""Losses that were made elsewhere mean the same in every form, and other files are refused.

Legend: N examples of the pool, T checkpoints.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

import select_s2l
from tests.conftest import write_jsonl
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import read_subset
from utils.artifacts.trajectories.read import read_trajectories
from utils.artifacts.trajectories.released import released_identity
from utils.config.schema import DataConfig, RunConfig
from utils.data import pool as pool_module
from utils.data.pool import Pool
from utils.selection.resolve import resolve_subset
from utils.stages import select

NUM_ROWS = 120


@pytest.fixture
def losses_NT(tmp_path: Path, res_dir: Path) -> np.ndarray:
    rows = [{"source": "abc"[row % 3], "instruction": f"Q{row}", "output": "x"} for row in range(NUM_ROWS)]
    write_jsonl(tmp_path / "pool.jsonl", rows)
    losses_NT = np.random.default_rng(0).gamma(2, 1, (NUM_ROWS, 3)).astype(np.float32)
    np.save(tmp_path / "losses.npy", losses_NT)
    return losses_NT


def config_of(
    place: Path, file: str, run_name: str = "target", with_data: bool = True, **subset
) -> RunConfig:
    values = {
        "run_name": run_name,
        "seed": 0,
        "subset": {"trajectories_from": str(place / file), "num_clusters": 4, "budget": 30, **subset},
    }
    return RunConfig.model_validate(
        values | ({"data": {"path": str(place / "pool.jsonl")}} if with_data else {})
    )


def chosen(place: Path, file: str, **settings) -> list[int]:
    run_name = settings.pop("run_name", file.replace(".", "-"))
    select(config_of(place, file, run_name, **settings))
    return read_subset(RunPaths(run_name).subset).indices.tolist()


def write_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def test_every_form_of_the_same_losses_chooses_the_same(tmp_path, losses_NT):
    import torch

    shuffled = np.random.default_rng(1).permutation(NUM_ROWS)
    np.savez(tmp_path / "plain.npz", losses=losses_NT.astype(np.float64))
    np.savez(tmp_path / "rows.npz", losses=losses_NT[shuffled], rows=shuffled)
    np.savez(tmp_path / "steps.npz", losses=losses_NT[:, [2, 0, 1]], steps=[1500, 500, 1000])
    by_step = {"checkpoint-1500": 2, "checkpoint-500": 0, "checkpoint-1000": 1}
    columns = {name: losses_NT[shuffled, number] for name, number in by_step.items()}
    write_parquet(tmp_path / "rows.parquet", {"row": shuffled, **columns})
    for step, losses_N in zip((500, 1000, 1500), losses_NT.T, strict=True):
        folder = tmp_path / "released" / "output" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        torch.save([torch.tensor(loss) for loss in losses_N], folder / "losses.pt")
    from utils.scoring.released_losses import main

    assert main([str(tmp_path / "released"), str(tmp_path / "released.npz")]) == 0
    expected = chosen(tmp_path, "losses.npy")
    for file in ("plain.npz", "rows.npz", "steps.npz", "rows.parquet", "released.npz"):
        assert chosen(tmp_path, file) == expected, file


def test_steps_of_a_file_can_be_named(tmp_path, losses_NT):
    np.savez(tmp_path / "steps.npz", losses=losses_NT, steps=[0, 500, 1000])
    np.save(tmp_path / "losses.npy", losses_NT[:, 1:])
    assert chosen(tmp_path, "steps.npz") == chosen(tmp_path, "losses.npy"), "not step 0"
    np.save(tmp_path / "last.npy", losses_NT[:, 2:])
    assert chosen(tmp_path, "steps.npz", run_name="last", steps=[1000]) == chosen(tmp_path, "last.npy")
    with pytest.raises(ValueError, match=r"subset.steps: found \[700\].*\[0, 500, 1000\]"):
        chosen(tmp_path, "steps.npz", run_name="other", steps=[700])


def test_rows_that_a_file_lacks_are_unscorable(tmp_path, losses_NT, capsys):
    np.savez(tmp_path / "rows.npz", losses=losses_NT[:100], rows=np.arange(100))
    assert max(chosen(tmp_path, "rows.npz", budget=100)) == 99
    assert "20 rows have no loss (NaN)" in capsys.readouterr().err


def test_a_run_of_the_released_code_is_read_where_it_lies(tmp_path, res_dir, losses_NT):
    """Under a path or, below the folder of results, its name; the losses of other runs are no part of it."""
    import torch

    names = {"of_path": str(tmp_path / "released"), "of_name": "old_run"}
    for folder in (tmp_path / "released", res_dir / "old_run"):
        for step, losses_N in zip((500, 1000, 1500), losses_NT.T, strict=True):
            place = folder / "output" / f"checkpoint-{step}"
            place.mkdir(parents=True)
            torch.save([torch.tensor(loss) for loss in losses_N], place / "losses.pt")
    expected = chosen(tmp_path, "losses.npy")
    for run_name, origin in names.items():
        assert chosen(tmp_path, "", run_name=run_name, trajectories_from=origin) == expected
    without_texts = config_of(tmp_path, "", "rows", with_data=False, trajectories_from="old_run")
    select(without_texts)
    assert len(resolve_subset(without_texts).indices) == 30
    named = config_of(tmp_path, "", "of_path", trajectories_from=names["of_path"])
    assert resolve_subset(named).indices.tolist() == expected
    before = released_identity(tmp_path / "released")
    (tmp_path / "released/output/checkpoint-500/losses.pt").write_bytes(pickle.dumps(_Harm()))
    assert released_identity(tmp_path / "released") != before
    with pytest.raises(ValueError, match=r"^\S*losses.pt is not a list of one loss per row"):
        resolve_subset(named)


def test_a_subset_of_the_released_code_is_taken_as_it_is(tmp_path, losses_NT):
    rows = np.flatnonzero(np.random.default_rng(2).random(NUM_ROWS) < 0.3)
    np.save(tmp_path / "labeled_idx.npy", rows)
    settings = {"include": str(tmp_path / "labeled_idx.npy"), "method": "random", "budget": len(rows)}
    assert chosen(tmp_path, "losses.npy", **settings) == rows.tolist()


def test_released_losses_are_those_of_one_run_and_of_all_its_checkpoints(tmp_path):
    import torch

    from utils.scoring.released_losses import read_released_losses

    for run in ("first", "second"):
        for step in (500, 1000):
            folder = tmp_path / run / "output" / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            torch.save([torch.tensor(float(step))] * 3, folder / "losses.pt")
    with pytest.raises(ValueError, match=r"several runs.*first/output.*second/output"):
        read_released_losses(tmp_path)
    steps, losses_NT = read_released_losses(tmp_path / "first")
    assert steps == [500, 1000] and losses_NT.tolist() == [[500.0, 1000.0]] * 3
    (tmp_path / "second" / "output" / "checkpoint-500" / "losses.pt").unlink()
    with pytest.raises(ValueError, match=r"checkpoint-500 without losses.pt"):
        read_released_losses(tmp_path / "second")


class _Harm:
    def __reduce__(self):
        return (print, ("code that came with the file",))


def test_a_losses_file_cannot_run_code(tmp_path, capsys):
    from utils.scoring.released_losses import main

    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    (folder / "losses.pt").write_bytes(pickle.dumps(_Harm()))
    assert main([str(tmp_path), str(tmp_path / "out.npz")]) == 1
    answer = capsys.readouterr()
    assert "is not a list of one loss per row" in answer.err and "code that came" not in answer.out
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "out.npz")]) == 1
    assert "holds no checkpoint-<step>/losses.pt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"loss": np.ones((NUM_ROWS, 2))}, ["arrays loss", "`losses` (n, T)"]),
        ({"losses": np.ones(NUM_ROWS)}, ["(120,)", "expected floating-point losses (N, T)"]),
        ({"losses": np.ones((NUM_ROWS, 2), int)}, ["int64", "floating-point"]),
        ({"losses": np.ones((2, 2)), "rows": np.array([0, 120])}, ["found row number 120", "0 to 119"]),
        ({"losses": np.ones((2, 2)), "rows": np.array([0, -1])}, ["found row number -1"]),
        ({"losses": np.ones((2, 2)), "rows": np.array([7, 7])}, ["row number 7", "more than once"]),
        ({"losses": np.ones((2, 2)), "rows": np.array([0.0, 1.0])}, ["float64", "expected whole numbers"]),
        ({"losses": np.ones((NUM_ROWS, 2)), "steps": np.array([5, 5])}, ["found steps 5, 5"]),
        ({"losses": np.array([[object()]])}, ["no readable .npz of plain numbers"]),
        ({"losses": np.full((NUM_ROWS, 2), np.inf)}, ["120 rows have an infinite loss"]),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, losses_NT, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError) as refusal:
        chosen(tmp_path, "bad.npz")
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_a_damaged_or_odd_file_is_refused(tmp_path, losses_NT):
    for name in ("broken.npz", "broken.parquet"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(ValueError, match=name):
            chosen(tmp_path, name)
    write_parquet(tmp_path / "odd.parquet", {"row": np.arange(2), "loss": np.ones(2)})
    with pytest.raises(ValueError, match=r"found columns row, loss, expected `row`.*checkpoint-500"):
        chosen(tmp_path, "odd.parquet")


# Without texts


def test_a_file_of_losses_in_no_known_form_is_no_run(tmp_path, losses_NT):
    (tmp_path / "losses.csv").write_text("1,2\n")
    with pytest.raises(ValueError, match=r"the file .*losses\.csv, expected .* \.npy, \.npz, \.parquet"):
        read_trajectories(str(tmp_path / "losses.csv"))


@pytest.mark.parametrize("form", ["names.npy", "numbers.npy", "names.txt"])
def test_sources_and_losses_are_enough_for_row_numbers(tmp_path, losses_NT, form):
    codes = np.arange(NUM_ROWS) % 3
    names = [str(code) if form == "numbers.npy" else "abc"[code] for code in codes]
    source_N = codes if form == "numbers.npy" else np.array(names)
    if form.endswith(".npy"):
        np.save(tmp_path / form, source_N)
    else:
        (tmp_path / form).write_text("\n".join(names) + "\n")
    expected = chosen(tmp_path, "losses.npy", run_name="with", method="random_per_source")
    settings = {"with_data": False, "sources_from": str(tmp_path / form)}
    assert (
        chosen(tmp_path, "losses.npy", run_name="without", method="random_per_source", **settings) == expected
    )
    folder = RunPaths("without").subset
    assert not (folder / "subset.jsonl").exists() and (folder / "composition.json").exists()
    assert len(json.loads((folder / "composition.json").read_text())["sources"]) == 3
    config = config_of(tmp_path, "losses.npy", "without", method="random_per_source", **settings)
    select(config)  # already there
    assert resolve_subset(config).indices.tolist() == expected


def test_without_texts_or_sources_the_pool_is_one_source(tmp_path, losses_NT):
    without = chosen(tmp_path, "losses.npy", run_name="without", with_data=False)
    assert without == chosen(tmp_path, "losses.npy", run_name="with", per_source=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sources_from": "few.npy"}, ["subset.sources_from", "sources of 5 rows", "losses of 120"]),
        ({"sources_from": "floats.npy"}, ["float64", "integers or texts"]),
        ({"sources_from": "nowhere.txt"}, ["subset.sources_from", "does not exist"]),
        ({"sources_from": "headed.txt"}, ["sources of 121 rows", "losses of 120", "no header"]),
        ({"sources_from": "headed.csv"}, ["found headed.csv, expected a .npy", "or a .txt", "a header"]),
        ({"trajectories_from": "proxy"}, ["data: missing", "a file of losses"]),
        ({"deduplicate": "exact"}, ["subset.deduplicate", "data"]),
        ({"decontaminate": ["few.npy"]}, ["subset.decontaminate", "data"]),
        ({"include": "column"}, ["subset.include", "data"]),
    ],
)
def test_what_needs_texts_says_so(tmp_path, losses_NT, monkeypatch, settings, words):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", np.zeros(5, int))
    np.save("floats.npy", np.zeros(120))
    for name in ("headed.txt", "headed.csv"):
        Path(name).write_text("source\n" + "a\n" * 120)
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        select(config_of(tmp_path, "losses.npy", with_data=False, **settings))
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_the_command_needs_no_data_section(tmp_path, losses_NT, capsys):
    config = {
        "run_name": "target",
        "subset": {"trajectories_from": str(tmp_path / "losses.npy"), "budget": 30},
    }
    (tmp_path / "target.yml").write_text(yaml.safe_dump(config))
    assert select_s2l.main(["--config_file", str(tmp_path / "target.yml")]) == 0
    assert "30 rows" in capsys.readouterr().out


# Pieces, and what is kept of a large pool


def test_rows_are_the_same_read_whole_in_pieces_or_by_number(tmp_path, losses_NT, monkeypatch):
    monkeypatch.setattr("utils.artifacts.trajectories.read._ROWS_AT_ONCE", 7)
    monkeypatch.setattr("utils.artifacts.trajectories.read._IN_MEMORY", 100)
    RunPaths("any").root.mkdir(parents=True)
    np.savez(tmp_path / "steps.npz", losses=losses_NT, steps=[1, 2, 3])
    for trajectories in (
        read_trajectories(str(tmp_path / "losses.npy")),
        read_trajectories(str(tmp_path / "steps.npz"), [1, 3]),
    ):
        expected = losses_NT if trajectories.steps is None else losses_NT[:, [0, 2]]
        assert np.array_equal(trajectories.rows(slice(None)), expected)
        assert np.array_equal(trajectories.rows(slice(5, 50)), expected[5:50])
        rows = np.random.default_rng(0).permutation(NUM_ROWS)[:50]
        assert np.array_equal(trajectories.rows(rows), expected[rows])


def test_a_large_pool_is_parsed_once_and_again_when_anything_changed(tmp_path, losses_NT, monkeypatch):
    monkeypatch.setattr(pool_module, "_CACHED_FROM", 0)
    data = DataConfig(path=str(tmp_path / "pool.jsonl"))
    first = Pool(data)
    parsed = []
    monkeypatch.setattr(Pool, "_read_all", lambda self, read=Pool._read_all: (parsed.append(1), read(self)))
    again = Pool(data)
    assert not parsed and again.fingerprint == first.fingerprint and again.source_names == first.source_names
    assert np.array_equal(again.source_codes, first.source_codes) and np.array_equal(
        again.excluded, first.excluded
    )
    assert [again.line(row) for row in range(len(again))] == [first.line(row) for row in range(len(first))]
    assert list(again) == list(first)
    assert len(Pool(data.model_copy(update={"limit": 50}))) == 50 and len(parsed) == 1
    text = (tmp_path / "pool.jsonl").read_text()
    changed = text.replace('"Q7"', '"Q8"')
    assert len(changed) == len(text)
    (tmp_path / "pool.jsonl").write_text(changed)
    assert Pool(data).fingerprint != first.fingerprint and len(parsed) == 2


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-40], lambda content: b"x"])
def test_a_damaged_cache_of_a_pool_is_made_again(tmp_path, res_dir, losses_NT, monkeypatch, damage):
    monkeypatch.setattr(pool_module, "_CACHED_FROM", 0)
    data = DataConfig(path=str(tmp_path / "pool.jsonl"))
    first = Pool(data)
    (cache,) = (res_dir / ".cache/pools").glob("*.npz")
    whole = cache.read_bytes()
    cache.write_bytes(damage(whole))
    again = Pool(data)
    assert again.fingerprint == first.fingerprint and list(again) == list(first)
    assert cache.stat().st_size == len(whole)
