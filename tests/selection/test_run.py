"""The selection stage on disk: chosen rows are the pool's, bad input is refused, reuse needs the same inputs.

Legend: N examples of the pool, T checkpoints.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.artifacts.examples import SCORING_INPUTS, forget_checksums
from tests.conftest import SEEDED_METHODS, in_one_line, write_jsonl
from utils.artifacts.files import read_json
from utils.artifacts.locks import locked
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import REASONS, Subset, read_subset
from utils.artifacts.trajectories.manifest import ScoringRecord
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.counts import budget_in_rows
from utils.config.schema import SELECTION_PRESETS, RunConfig
from utils.data.pool import Pool
from utils.selection.plan import plan_selection
from utils.selection.resolve import resolve_subset
from utils.selection.run import run_selection
from utils.stages import select

SOURCES = ["gsm", 'quoted "one"', "new\nline", "emoji 🧮", "gsm", "gsm", "gsm"]


@pytest.fixture
def place(tmp_path: Path, res_dir: Path) -> Path:
    """A folder with a pool of 140 rows from four sources, and losses for it."""
    rows = [
        {
            "source": SOURCES[row % 7],
            "instruction": f"Question {row}?",
            "output": f"Answer {row}.",
            "extra": row,
        }
        for row in range(140)
    ]
    write_jsonl(tmp_path / "pool.jsonl", rows)
    write_losses(tmp_path, 140)
    return tmp_path


def write_losses(place: Path, num_rows: int, **changes: float) -> np.ndarray:
    """Write random losses of three checkpoints; changes: r<row>_<column>=value."""
    rng = np.random.default_rng(0)
    losses_NT = rng.gamma(2, 1, (num_rows, 1)) * rng.uniform(0.8, 1.2, (num_rows, 3))
    for where, value in changes.items():
        row, column = map(int, where[1:].split("_"))
        losses_NT[row, column] = value
    np.save(place / "losses.npy", losses_NT.astype(np.float32))
    return losses_NT.astype(np.float32)


def config_of(
    place: Path, run_name: str = "target", seed: int = 0, data: dict | None = None, **subset
) -> RunConfig:
    return RunConfig.model_validate(
        {
            "run_name": run_name,
            "seed": seed,
            "data": {"path": str(place / "pool.jsonl"), **(data or {})},
            "subset": {
                "trajectories_from": str(place / "losses.npy"),
                "num_clusters": 5,
                "budget": 60,
                **subset,
            },
        }
    )


def selected(config: RunConfig, **arguments) -> Subset:
    select(config, **arguments)
    return read_subset(RunPaths(config.run_name).subset)


def write_proxy(place: Path, losses_NT: np.ndarray, steps: list[int], **inputs) -> None:
    """Trajectories of a run named proxy, as our scorer writes them."""
    data = config_of(place).data_section
    pool = Pool(data)
    inputs = {
        **SCORING_INPUTS,
        "pool": pool.fingerprint,
        "num_examples": len(losses_NT),
        "max_length": data.max_length,
        **inputs,
    }
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    weights = {step: f"weights at {step}" for step in steps}
    record = ScoringRecord(texts=pool.texts_fingerprint)
    folder.begin(ScoringRequest(inputs, weights, np.ones(len(losses_NT), np.int32), record=record))
    for step, losses_N in zip(steps, losses_NT.T, strict=True):
        folder.finish(step, len(losses_N), [(np.arange(len(losses_N)), {"loss": losses_N}, 0.0)])


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_losses_that_are_being_scored_are_waited_for(place):
    losses_NT = np.ones((140, 3), np.float32)
    write_proxy(place, losses_NT, [1, 2, 3])
    missing = TrajectoryFolder(RunPaths("proxy").trajectories).quantity(2)
    missing.unlink()
    config = config_of(place, trajectories_from="proxy")
    with pytest.raises(ValueError, match=r"checkpoints \[2\]: make them with `python run_distributed_traj"):
        select(config)
    with locked(missing), pytest.raises(ValueError, match=r"\[2\]: they are being scored just now, wait"):
        select(config)


def test_of_two_selections_at_once_one_is_refused_and_nothing_is_lost(place, capsys):
    config = config_of(place)
    paths = RunPaths("target")
    with (
        locked(paths.subset),
        pytest.raises(ValueError, match="another command is choosing the rows of this run"),
    ):
        select(config)
    assert not paths.subset.exists()
    first, second = plan_selection(config), plan_selection(config_of(place, budget=50))
    (paths.root / ".subset-17.parts").mkdir(parents=True)  # of a killed one
    run_selection(first)
    assert {path.name for path in paths.root.iterdir()} == {".locks", "config.yml", "subset"}
    files = files_of(paths.root)
    with pytest.raises(ValueError, match="made from other inputs"):  # though nothing was there when planned
        run_selection(second)
    again = run_selection(first)
    assert [made.composition for made in again.subsets] == [read_json(paths.subset / "composition.json")]
    assert files_of(paths.root) == files


@pytest.mark.parametrize(("method", "preset"), SEEDED_METHODS)
def test_chosen_rows_are_the_lines_of_the_pool(place, method, preset):
    lines = [
        b'{"output": "caf\\u00e9", "instruction" :  "odd   spacing", "source":"a"}',
        b'{"instruction": "unicode \xf0\x9f\xa7\xae", "output": "x", "source": null}',
        b'{"instruction": "1e2 stays", "output": "x", "n": 1e2}\r',
        b'{"instruction": "no newline at the end", "output": "x"}',
    ]
    (place / "pool.jsonl").write_bytes(b"\n".join(lines))
    write_losses(place, 4)
    for budget in (2, 4):
        config = config_of(place, f"run{budget}", method=method, preset=preset, budget=budget)
        subset = selected(config)
        written = (RunPaths(config.run_name).subset / "subset.jsonl").read_bytes()
        assert written == b"".join(lines[row].rstrip(b"\r") + b"\n" for row in subset.indices)
        assert len(subset.indices) == budget


def test_composition_adds_up(place, capsys):
    for preset in SELECTION_PRESETS:
        subset = selected(config_of(place, preset, preset=preset))
        folder = RunPaths(preset).subset
        composition = json.loads((folder / "composition.json").read_text())
        clusters_N = np.load(folder / "clusters.npy")
        assert clusters_N.dtype == np.int32 and clusters_N.shape == (140,)
        assert set(composition["sources"]) == set(SOURCES)
        assert (
            sum(source["chosen"] for source in composition["sources"].values()) == composition["chosen"] == 60
        )
        sizes = {}
        taken = {}
        for source in composition["sources"].values():
            assert sum(size for size, _ in source["clusters"].values()) == source["selectable"]
            assert sum(took for _, took in source["clusters"].values()) == source["chosen"]
            for number, (size, took) in source["clusters"].items():
                sizes[int(number)] = sizes.get(int(number), 0) + size
                taken[int(number)] = taken.get(int(number), 0) + took
        assert len(sizes) == composition["num_clusters"]
        for number, size in sizes.items():
            assert size == (clusters_N == number).sum()
            assert taken[number] == (clusters_N[subset.indices] == number).sum()
        table = capsys.readouterr().out.split("\n\n")[1].splitlines()
        assert len(table) == 1 + 4 + 1 and max(map(len, table)) <= 100, (
            "one line for each source, newline in a name or not"
        )


def test_checkpoints_count_in_order_of_steps_however_they_are_listed(place):
    losses_NT = write_losses(place, 140)
    expected = selected(config_of(place, "expected"))
    write_proxy(place, losses_NT[:, [2, 0, 1]], [1000, 500, 750])
    for run_name, steps in (("all", None), ("listed", [500, 750, 1000]), ("shuffled", [1000, 500, 750])):
        subset = selected(config_of(place, run_name, trajectories_from="proxy", steps=steps))
        assert np.array_equal(subset.indices, expected.indices)
        assert subset.manifest.trajectories == {"from": "proxy", "steps": [500, 750, 1000]}


def test_step_0_is_used_only_if_it_is_named(place):
    losses_NT = write_losses(place, 140)
    write_proxy(place, losses_NT, [0, 500, 1000])
    np.save(place / "losses.npy", losses_NT[:, 1:])
    expected = selected(config_of(place, "expected")).indices
    assert np.array_equal(selected(config_of(place, "after", trajectories_from="proxy")).indices, expected)
    named = selected(config_of(place, "named", trajectories_from="proxy", steps=[0, 500, 1000]))
    assert named.manifest.steps == [0, 500, 1000]


def test_names_of_sources_do_not_change_what_is_chosen_at_random(place):
    before = selected(config_of(place, "before", method="random_per_source")).indices
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    renamed = {
        name: f"{9 - number}" for number, name in enumerate(sorted(set(SOURCES)))
    }  # in the opposite order
    write_jsonl(place / "pool.jsonl", [{**row, "source": renamed[row["source"]]} for row in rows])
    assert np.array_equal(selected(config_of(place, "after", method="random_per_source")).indices, before)


@pytest.mark.parametrize(("method", "preset"), SEEDED_METHODS)
def test_rows_without_a_loss_are_never_chosen_nor_clustered_nor_counted(place, method, preset, capsys):
    without = {f"r{row}_{column}": np.nan for row in (0, 1, 139) for column in range(3)}
    write_losses(place, 140, r70_1=np.nan, **without)
    subset = selected(config_of(place, method=method, preset=preset, budget=1.0))
    assert np.array_equal(subset.indices, np.setdiff1d(np.arange(140), [0, 1, 70, 139]))
    clusters_N = np.load(RunPaths("target").subset / "clusters.npy")
    assert np.all(clusters_N[[0, 1, 70, 139]] == -1) and (
        method != "s2l" or np.all(clusters_N[subset.indices] >= 0)
    )
    reasons_N = np.load(RunPaths("target").subset / "reasons.npy")
    assert np.flatnonzero(reasons_N == REASONS.index("no loss")).tolist() == [0, 1, 70, 139]
    assert subset.manifest.num_selectable == 136
    remarks = capsys.readouterr().err
    assert "4 rows have no loss (NaN)" in remarks
    assert "1 of those are NaN at some checkpoints only (column 1): row 70" in remarks


def test_without_trajectories_random_methods_may_choose_every_row(place):
    for method in ("random", "random_per_source"):
        subset = selected(config_of(place, method, method=method, trajectories_from=None, budget=140))
        assert len(subset.indices) == 140 and subset.manifest.trajectories_identity is None


def test_dropped_rows_are_never_chosen(place):
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    rows[3]["output"] = "  "
    write_jsonl(place / "pool.jsonl", rows)
    for method, preset in SEEDED_METHODS:
        config = config_of(
            place,
            f"{method}-{preset}",
            data={"invalid_rows": "drop"},
            method=method,
            preset=preset,
            budget=1.0,
        )
        subset = selected(config)
        assert 3 not in subset.indices and len(subset.indices) == 139 and subset.manifest.num_excluded == 1


def test_one_source_or_none_is_defined(place, capsys):
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    write_jsonl(place / "pool.jsonl", [{key: row[key] for key in ("instruction", "output")} for row in rows])
    per_source = selected(config_of(place, "none")).indices
    assert "no row has a source (data.source_column: 'source')" in capsys.readouterr().err
    whole = selected(config_of(place, "whole", per_source=False)).indices
    assert np.array_equal(per_source, whole)
    write_jsonl(place / "pool.jsonl", [{**row, "source": "only"} for row in rows])
    assert len(selected(config_of(place, "one")).indices) == 60
    assert "no row has a source" not in capsys.readouterr().err


def test_sources_that_are_numbers_or_missing_are_said(place, capsys):
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    for row in rows:
        row["source"] = {"gsm": 3, 'quoted "one"': 1.0}.get(row["source"])
    write_jsonl(place / "pool.jsonl", rows)
    selected(config_of(place, "numbers"))
    said = " ".join(capsys.readouterr().err.split())
    assert "40 rows without a source (data.source_column: 'source'): together they are one" in said
    assert "the sources are numbers (1, 3; data.source_column: 'source'): each number is a source" in said
    selected(config_of(place, "whole", per_source=False))
    assert "sources are numbers" not in capsys.readouterr().err


def test_sources_that_look_alike_are_said_and_show_no_control_characters(place, capsys):
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["source"] = ["caf\u00e9", "cafe\u0301", "b \x1b[2J", "B \x1b[2J", "c"][number % 5]
    write_jsonl(place / "pool.jsonl", rows)
    selected(config_of(place, "alike"))
    said = capsys.readouterr().err
    assert "sources that look alike have a share each: " in said and "'cafe\u0301' and 'caf\u00e9'" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("preset", SELECTION_PRESETS)
def test_odd_trajectories_are_defined(place, preset):
    odd = {"equal": np.ones((140, 3))}
    if preset != "fall":  # of one checkpoint nothing falls, which is refused
        odd["one_checkpoint"] = np.arange(140.0)[:, None]
    for run_name, losses_NT in odd.items():
        np.save(place / "losses.npy", losses_NT)  # float64 is read too
        assert len(selected(config_of(place, f"{run_name}-{preset}", preset=preset)).indices) == 60
    assert len(selected(config_of(place, f"many-{preset}", preset=preset, num_clusters=1000)).indices) == 60
    assert len(selected(config_of(place, f"all-{preset}", preset=preset, budget=140)).indices) == 140
    assert len(selected(config_of(place, f"single-{preset}", preset=preset, budget=1)).indices) == 1


def test_the_plan_names_its_preset_and_a_table_the_weight_of_each_source(place, capsys):
    losses_NT = np.ones((140, 3))
    losses_NT[:, -1] = 0.5
    np.save(place / "losses.npy", losses_NT)
    selected(config_of(place, "falling", preset="fall"))
    shown = in_one_line(capsys.readouterr().out)
    assert "s2l (seed 0), preset fall, source_exponent 1.0, source_weight fall" in shown
    assert "weight (fall)" in shown
    sources = json.loads((RunPaths("falling").subset / "composition.json").read_text())["sources"]
    assert {source["weight"] for source in sources.values()} == {0.5}
    selected(config_of(place, "even"))
    assert "weight (" not in capsys.readouterr().out


def test_a_fraction_is_of_the_selectable_rows_and_rounded_half_up():
    assert [budget_in_rows(0.5, n) for n in (1, 2, 3, 5)] == [1, 1, 2, 3]
    assert budget_in_rows(1e-9, 10) == 1 and budget_in_rows(1.0, 10) == 10 and budget_in_rows(7, 10) == 7


@pytest.mark.parametrize(
    ("subset", "changes", "words"),
    [
        ({"trajectories_from": None}, {}, ["subset.trajectories_from", "run_name of the proxy", ".npy"]),
        ({"budget": 141}, {}, ["subset.budget", "141", "140", "selectable"]),
        ({"budget": 140}, {"r5_0": np.nan}, ["140", "139"]),
        ({}, {"r5_0": np.inf, "r7_2": -np.inf}, ["2 rows have an infinite loss", "rows 5, 7"]),
        ({}, {"r5_0": 1e30}, ["infinite", "row 5"]),
        ({"steps": [500]}, {}, ["subset.steps", "losses.npy"]),
        ({"same_as": "target"}, {}, ["same_as", "itself"]),
    ],
)
def test_bad_inputs_are_refused_in_words(place, subset, changes, words):
    write_losses(place, 140, **changes)
    with pytest.raises(ValueError) as refusal:
        select(config_of(place, **subset))
    assert all(word in str(refusal.value) for word in words), refusal.value
    assert not RunPaths("target").subset.exists()


def test_losses_that_are_nan_everywhere_are_refused(place):
    np.save(place / "losses.npy", np.full((140, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"140 rows is NaN somewhere .140 at column 0, 140 at column 1"):
        select(config_of(place))


def test_trajectories_of_another_pool_are_refused(place):
    losses_NT = write_losses(place, 139)
    with pytest.raises(ValueError, match="losses of 139 examples, but the pool .* has 140 rows"):
        select(config_of(place))
    with pytest.raises(
        FileNotFoundError, match=r"run 'proxy' has no trajectories.*run_distributed_trajectories.py"
    ):
        select(config_of(place, trajectories_from="proxy"))
    write_proxy(place, write_losses(place, 140), [500, 750, 1000])
    select(config_of(place, trajectories_from="proxy"))
    text = (place / "pool.jsonl").read_text()
    (place / "pool.jsonl").write_text(text.replace("Answer 7.", "Answer seven."))
    with pytest.raises(ValueError, match="made from another pool"):
        select(config_of(place, "other", trajectories_from="proxy"))
    assert len(losses_NT) == 139


def test_losses_serve_any_column_of_sources(place):
    losses_NT = np.array(write_losses(place, 140))
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    rows = [{**row, "topic": "xy"[number % 2]} for number, row in enumerate(rows)]
    write_jsonl(place / "pool.jsonl", rows)
    write_proxy(place, losses_NT, [500, 750, 1000])
    config = config_of(place, "by_topic", trajectories_from="proxy")
    data = config.data_section.model_copy(update={"source_column": "topic"})
    subset = selected(config.model_copy(update={"data": data}))
    assert np.bincount(subset.indices % 2).tolist() == [30, 30]
    with pytest.raises(ValueError, match=r"made from other inputs:\n  pool: there"):
        select(config)


# Reuse


def test_the_same_inputs_leave_a_subset_untouched_and_others_are_refused(place, capsys):
    select(config_of(place))
    folder = RunPaths("target").subset
    before = files_of(folder)
    capsys.readouterr()
    select(config_of(place))
    assert "already there" in capsys.readouterr().out and files_of(folder) == before

    changes: list[dict[str, Any]] = [
        {"budget": 61},
        {"budget": 0.5},
        {"seed": 1},
        {"num_clusters": 6},
        {"init": "kmeans++"},
    ]
    for changed in changes:
        with pytest.raises(ValueError, match=r"made from other inputs[\s\S]*--overwrite"):
            select(config_of(place, **changed))
    (place / "losses.npy").rename(place / "moved.npy")
    select(config_of(place, trajectories_from=str(place / "moved.npy")))  # another name, the same losses
    write_losses(place, 140, r0_0=0.5)
    with pytest.raises(ValueError, match="trajectories: there"):
        select(config_of(place))
    assert files_of(folder) == before

    select(config_of(place, budget=61), overwrite=True)
    assert len(read_subset(folder).indices) == 61


def test_a_retrained_proxy_is_noticed(place):
    losses_NT = write_losses(place, 140)
    write_proxy(place, losses_NT, [500, 750, 1000])
    select(config_of(place, trajectories_from="proxy", steps=[500, 750]))
    manifest = RunPaths("proxy").trajectories_manifest
    forget_checksums(manifest)
    manifest.write_text(manifest.read_text().replace("weights at 1000", "other weights"))
    select(config_of(place, trajectories_from="proxy", steps=[500, 750]))  # not one of the checkpoints used
    manifest.write_text(manifest.read_text().replace("weights at 750", "other weights"))
    with pytest.raises(ValueError, match="trajectories: there"):
        select(config_of(place, trajectories_from="proxy", steps=[500, 750]))


def test_settings_that_a_method_does_not_use_are_named_and_do_not_matter(place, capsys):
    select(config_of(place, method="random", trajectories_from=None))
    assert "method random does not use subset.num_clusters" in capsys.readouterr().err
    select(config_of(place, method="random", trajectories_from=None, num_clusters=7, per_source=False))
    answer = capsys.readouterr()
    assert "already there" in answer.out and "subset.num_clusters, subset.per_source" in answer.err


def test_dry_run_checks_everything_and_writes_nothing(place, capsys):
    before = files_of(place)
    select(config_of(place), dry_run=True)
    plan = in_one_line(capsys.readouterr().out)
    for words in (
        f"{place / 'pool.jsonl'}: 140 rows",
        "60 rows",
        "sources: 4",
        "at most 5 in each of 4 sources",
        "3 columns",
        "nothing written",
    ):
        assert words in plan
    with pytest.raises(ValueError, match="selectable"):
        select(config_of(place, budget=500), dry_run=True)
    assert files_of(place) == before
    select(config_of(place))
    with pytest.raises(ValueError, match="other inputs"):
        select(config_of(place, budget=61), dry_run=True)


def test_another_runs_subset_is_used_only_on_its_pool(place, capsys):
    config = config_of(place, "second", same_as="first")
    for refused in (select, resolve_subset):
        with pytest.raises(FileNotFoundError, match=r"run 'first' has no subset.*select_s2l.py"):
            refused(config)
    first = selected(config_of(place, "first"))
    capsys.readouterr()
    select(config)
    assert "uses the subset of run first" in capsys.readouterr().out
    assert not RunPaths("second").root.exists()
    assert np.array_equal(resolve_subset(config).indices, first.indices)
    for refused in (select, resolve_subset):
        with pytest.raises(ValueError, match=r"num_examples: there 140, now 100[\s\S]*data section"):
            refused(config_of(place, "second", same_as="first", data={"limit": 100}))


def test_a_run_gets_its_subset_only_while_it_is_what_the_config_says(place):
    config = config_of(place)
    with pytest.raises(FileNotFoundError, match=r"no subset in .*select_s2l.py"):
        resolve_subset(config)
    chosen = selected(config)
    again = resolve_subset(config, Pool(config.data_section))
    assert np.array_equal(again.indices, chosen.indices)
    changes: list[dict[str, Any]] = [
        {"budget": 61},
        {"seed": 3},
        {"method": "random"},
        {"data": {"limit": 139}},
    ]
    for change in changes:
        with pytest.raises(ValueError, match="made from other inputs"):
            resolve_subset(config_of(place, **change))
    (place / "losses.npy").unlink()  # a subset may outlive the losses it was made from
    assert np.array_equal(resolve_subset(config).indices, chosen.indices)
    with pytest.raises(FileNotFoundError):
        resolve_subset(config_of(place, trajectories_from=str(place / "others.npy")))


def test_a_runs_folder_stands_for_its_name(place, res_dir):
    """As a shell completes it: res/proxy or res/proxy/."""
    losses_NT = write_losses(place, 140)
    write_proxy(place, losses_NT, [10, 20, 30])
    by_name = selected(config_of(place, "by_name", trajectories_from="proxy"))
    for number, folder in enumerate((f"{res_dir}/proxy", f"{res_dir}/proxy/")):
        by_folder = selected(config_of(place, f"by_folder_{number}", trajectories_from=folder))
        np.testing.assert_array_equal(by_name.indices, by_folder.indices)
