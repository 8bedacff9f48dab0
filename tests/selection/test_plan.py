"""What a plan lets pass succeeds, what it refuses could not have, and a dry run leaves nothing behind.

Legend: N examples of the pool, T checkpoints.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import select_s2l
from tests.artifacts.examples import SCORING_INPUTS
from tests.conftest import in_one_line, pool_rows
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import read_subset
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.load import load_config
from utils.config.schema import RunConfig
from utils.data.pool import Pool
from utils.reporting.text.selection import selection_plan_text
from utils.selection.limits import find_limits
from utils.selection.methods.table import METHODS
from utils.selection.plan import SelectionPlan, plan_selection
from utils.selection.run import run_selection
from utils.selection.token_budget import check_token_budget

NUM_ROWS = 240


def contents(folder: Path) -> str:
    """sha256 over the names and bytes of all that lies in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(
            str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b"/")
        )
    return digest.hexdigest()


# Random pools, limits and budgets


def write_problem(place: Path, data: st.DataObject) -> tuple[dict[str, Any], dict[str, Any]]:
    """Files of a random small pool, the settings of a subset, and their meaning."""
    num_rows = data.draw(st.integers(1, 24))
    num_sources = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    losses_NT = rng.gamma(2, 1, (num_rows, 3))
    source_N = rng.integers(0, num_sources, num_rows)
    tokens_N = rng.integers(1, 9, num_rows).astype(np.int32)
    rows = st.sets(st.integers(0, num_rows - 1), max_size=max(1, num_rows // 3))
    unscorable = data.draw(rows)
    excluded = data.draw(rows)
    included = data.draw(rows)
    losses_NT[list(unscorable)] = np.nan
    np.savez(place / "losses.npz", losses=losses_NT, num_response_tokens=tokens_N)
    np.save(place / "sources.npy", source_N)
    for name, listed in (("out", excluded), ("in", included)):
        (place / f"{name}.txt").write_text("\n".join(map(str, listed)))
    names = sorted({str(source) for source in source_N})
    limit = (
        st.none() | st.integers(1, 9) | st.dictionaries(st.sampled_from(names), st.integers(1, 9), min_size=1)
    )
    fraction = st.floats(0.01, 1.0)
    budget: Any = (
        st.integers(1, 26) | fraction | st.lists(st.integers(1, 26) | fraction, min_size=1, max_size=3)
    )
    limits = {"min_per_source": data.draw(limit), "max_per_source": data.draw(limit)}
    subset = limits | {
        "method": data.draw(
            st.sampled_from(["s2l", "random", "random_per_source", "prune_then_select", "longest"])
        ),
        "preset": data.draw(st.sampled_from(["released", "paper"])),
        "num_clusters": data.draw(st.none() | st.integers(1, 9)),
        "trajectories_from": str(place / "losses.npz"),
        "sources_from": str(place / "sources.npy"),
        "include": str(place / "in.txt") if included else None,
        "exclude": str(place / "out.txt") if excluded else None,
    }
    if data.draw(st.booleans()):
        subset["budget"] = data.draw(budget)
    else:
        subset["budget_tokens"] = data.draw(st.integers(1, 120))
    selectable = set(range(num_rows)) - unscorable - excluded
    meaning = {
        "selectable": selectable,
        "contradicts": bool(included & (excluded | unscorable)),
        "included": included,
        "sources": {name: {row for row in selectable if str(source_N[row]) == name} for name in names},
        "tokens": tokens_N,
    }
    return subset, meaning


def limit_of(limits: Any, name: str, otherwise: int) -> int:
    return (
        limits.get(name, otherwise) if isinstance(limits, dict) else otherwise if limits is None else limits
    )


def is_possible(subset: dict[str, Any], meaning: dict[str, Any]) -> bool | None:
    """By the definitions, in sets; None where it depends on the order of the rows."""
    if not meaning["selectable"] or meaning["contradicts"]:
        return False
    least = 0
    most = 0
    fewest = 0
    largest = 0
    for name, rows in meaning["sources"].items():
        must = rows & meaning["included"]
        at_least = min(len(rows), limit_of(subset["min_per_source"], name, 0))
        at_most = limit_of(subset["max_per_source"], name, 99)
        if at_least > at_most or len(must) > at_most:
            return False
        more = max(0, at_least - len(must))
        least = least + len(must) + more
        most = most + min(len(rows), at_most)
        others = sorted(int(meaning["tokens"][row]) for row in rows - must)
        of_must = sum(int(meaning["tokens"][row]) for row in must)
        fewest += of_must + sum(others[:more])
        largest += of_must + sum(others[len(others) - more :])
    if "budget_tokens" in subset:
        if least == 0:
            tokens = [int(meaning["tokens"][row]) for row in meaning["selectable"]]
            fewest = min(tokens)
            largest = max(tokens)
        return (
            False
            if fewest > subset["budget_tokens"]
            else True
            if largest <= subset["budget_tokens"]
            else None
        )
    num_selectable = len(meaning["selectable"])
    budgets = subset["budget"] if isinstance(subset["budget"], list) else [subset["budget"]]
    rows = [
        budget if isinstance(budget, int) else max(1, int(budget * num_selectable + 0.5))
        for budget in budgets
    ]
    return len(set(rows)) == len(rows) and all(least <= number <= most for number in rows)


@settings(max_examples=100)
@given(data=st.data())
def test_a_plan_passes_exactly_where_the_run_succeeds(tmp_path, res_dir, data):
    subset, meaning = write_problem(tmp_path, data)
    config = RunConfig.model_validate({"run_name": "random", "seed": 0, "subset": subset})
    possible = is_possible(subset, meaning)
    if possible is False:
        with pytest.raises(ValueError):
            plan_selection(config, overwrite=True)
        return
    plan = plan_selection(config, overwrite=True)
    unsure = any("will show once the rows are ordered" in remark for remark in plan.remarks)
    assert unsure == (possible is None)
    try:
        result = run_selection(plan)
    except ValueError:
        assert unsure, "a plan passed, the run did not"
        return
    for wanted, made in zip(plan.requests, result.subsets, strict=True):
        chosen = set(read_subset(made.folder).indices.tolist())
        assert meaning["included"] <= chosen <= meaning["selectable"]
        assert "budget_tokens" in subset or len(chosen) == wanted.num_rows
        for name, rows in meaning["sources"].items():
            at_least, at_most = (
                limit_of(subset[f"{end}_per_source"], name, n) for end, n in (("min", 0), ("max", 99))
            )
            assert min(len(rows), at_least) <= len(chosen & rows) <= at_most


def test_token_bounds_are_those_of_the_definition():
    """The row of 2 tokens is named, and one of those of 5 and 7 must be in."""
    config = RunConfig.model_validate({"run_name": "r", "subset": {"min_per_source": 2, "budget_tokens": 9}})
    from utils.selection.candidates import Candidates

    candidates = Candidates(
        np.arange(3), np.zeros(3, np.int32), [""], 3, None, np.empty(0, int), np.array([1])
    )
    assert config.subset is not None
    limits = find_limits(candidates, config.subset)
    tokens_N = np.array([5, 2, 7], np.int32)
    assert check_token_budget(9, tokens_N, candidates, limits)
    assert not check_token_budget(7, tokens_N, candidates, limits)
    with pytest.raises(ValueError, match="expected at least 7"):
        check_token_budget(6, tokens_N, candidates, limits)


# A real pool, and a proxy with all that scoring can keep


@pytest.fixture
def config_file(make_target: Callable[..., Path], tmp_path: Path) -> Path:
    rows = [
        {"source": "ab"[row % 2], "instruction": f"Question {row}?", "output": f"Answer {row}."}
        for row in range(NUM_ROWS)
    ]
    rng = np.random.default_rng(0)
    losses_NT = rng.gamma(2, 1, (NUM_ROWS, 1)) * np.linspace(2, 1, 3) + rng.uniform(0, 0.1, (NUM_ROWS, 3))
    path = make_target(rows, losses_NT, budget=60)
    config = RunConfig.model_validate({"run_name": "proxy", "data": {"path": str(tmp_path / "pool.jsonl")}})
    assert config.data is not None
    inputs = {
        **SCORING_INPUTS,
        "pool": Pool(config.data).fingerprint,
        "num_examples": NUM_ROWS,
        "max_length": config.data.max_length,
    }
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    steps = [0, 500, 1000]
    weights = {step: f"at {step}" for step in steps}
    folder.begin(ScoringRequest(inputs, weights, np.full(NUM_ROWS, 3, np.int32)))
    for step, losses_N in zip(steps, losses_NT.astype(np.float32).T, strict=True):
        kept = {"probability": losses_N, "max_probability": losses_N, "loss": losses_N}
        kept["embeddings"] = rng.normal(size=(NUM_ROWS, 4)).astype(np.float16)
        folder.finish(step, NUM_ROWS, [(np.arange(NUM_ROWS), kept, 0.0)])
    (tmp_path / "in.txt").write_text("\n".join(map(str, range(50))))
    return path


def command(config_file: Path, *words: str) -> int:
    return select_s2l.main(["--config_file", str(config_file), *words])


FROM_PROXY = "subset.trajectories_from=proxy"


DRY_RUNS = [
    [],
    ["--overwrite"],
    ["run_name=new"],
    ["run_name=new", "subset.budget=[10, 20, 0.5]"],
    ["run_name=new", "subset.extend=target", "subset.budget=80"],
    ["run_name=new", "subset.same_as=target"],
    ["run_name=new", "subset.include=IN", "subset.min_per_source=3", "subset.deduplicate=exact"],
    ["run_name=new", "subset.budget=1000"],
    *[
        ["run_name=new", FROM_PROXY, f"subset.method={name}"]
        for name in METHODS
        if METHODS[name].needs_validation is None
    ],
    ["run_name=new", FROM_PROXY, "subset.features=embeddings"],
    ["--stability"],
    ["--explain", "3"],
    ["--inspect"],
    ["--inspect", "--export", "known", "OUT"],
    ["--inspect", "--export", "known", "OUT", "--export", "never_learnt", "OTHER.txt"],
]


def test_a_dry_run_writes_nothing(config_file, tmp_path):
    assert command(config_file) == 0
    before = contents(tmp_path)
    for words in DRY_RUNS:
        words = [
            word.replace("IN", str(tmp_path / "in.txt")).replace("OUT", str(tmp_path / "out.npy"))
            for word in words
        ]
        assert command(config_file, *words, "--dry_run") == ("subset.budget=1000" in words)
        assert contents(tmp_path) == before, words


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["subset.include=IN", "subset.budget=40"], "subset.budget and subset.include"),
        (["subset.min_per_source=40"], "subset.budget and subset.min_per_source"),
        (["subset.max_per_source=20"], "subset.budget and subset.max_per_source"),
        (["subset.budget=[20, 100]", "subset.max_per_source=40"], "subset.budget and subset.max_per_source"),
        (["subset.max_per_source={c: 20}"], "subset.max_per_source: unknown name 'c'"),
        (["subset.min_per_source={a: 9}", "subset.max_per_source=8"], "for source 'a'"),
        (["subset.method=least_confidence"], "holds losses only, and probability at the last checkpoint"),
        (
            ["subset.method=least_confidence", FROM_PROXY, "GONE=probability"],
            "trajectories.also=[confidence]",
        ),
        (
            ["subset.method=lowest_max_probability", FROM_PROXY, "GONE=max_probability"],
            "trajectories.also=[confidence]",
        ),
        (
            ["subset.method=facility_location", FROM_PROXY, "GONE=embeddings"],
            "trajectories.also=[embeddings]",
        ),
        (["subset.features=embeddings", FROM_PROXY, "GONE=embeddings"], "trajectories.also=[embeddings]"),
        (["subset.method=prune_then_select", FROM_PROXY, "subset.steps=[500]"], "found 1 checkpoint"),
        (["subset.extend=target", FROM_PROXY, "subset.budget=80"], "2 numbers a row to cluster by"),
        (["subset.method=longest"], "does not say how many tokens each response has"),
    ],
    ids=str,
)
def test_a_dry_run_says_all_that_is_known_before_rows_are_chosen(
    config_file, tmp_path, overrides, message, capsys
):
    assert command(config_file) == 0
    for word in [word for word in overrides if word.startswith("GONE")]:
        (RunPaths("proxy").trajectories / f"checkpoint-1000.{word.removeprefix('GONE=')}.npy").unlink()
    words = [
        word.replace("IN", str(tmp_path / "in.txt")) for word in overrides if not word.startswith("GONE")
    ]
    capsys.readouterr()
    answers = []
    for dry_run in (["--dry_run"], []):
        assert command(config_file, "run_name=new", *words, *dry_run) == 1
        answers.append(capsys.readouterr().err)
    assert answers[0] == answers[1] and message in answers[0]


# The number of clusters


def plan_of(place: Path, sizes: list[int], num_checkpoints: int = 1, **subset: Any) -> SelectionPlan:
    """A plan for sources of these sizes."""
    source_N = np.repeat(np.arange(len(sizes)), sizes)
    np.save(place / "sources.npy", source_N)
    np.save(
        place / "losses.npy", np.random.default_rng(0).random((len(source_N), num_checkpoints), np.float32)
    )
    files = {"trajectories_from": str(place / "losses.npy"), "sources_from": str(place / "sources.npy")}
    return plan_selection(RunConfig.model_validate({"run_name": "sized", "subset": files | subset}))


# Rows of MathInstruct by source, in hundreds: the four largest as published, the others share what is left.
MATH_INSTRUCT = [
    89_400,
    49_484,
    28_300,
    24_400,
    15_000,
    14_000,
    12_000,
    9_000,
    7_500,
    6_000,
    4_000,
    1_840,
    800,
    315,
]


@pytest.mark.parametrize("preset", ["released", "paper"])
@pytest.mark.parametrize("budget", [131_020, 30_000, 50_000, 100_000, [30_000, 131_020]])
def test_at_the_papers_size_there_are_the_papers_100_clusters(tmp_path, res_dir, preset, budget):
    plan = plan_of(tmp_path, MATH_INSTRUCT, preset=preset, budget=budget)
    assert sum(MATH_INSTRUCT) > 262_000 and plan.settings.num_clusters == 100
    assert plan.most_clusters == (14 * 100 if preset == "released" else 100) and not plan.warnings


@pytest.mark.parametrize(
    ("sizes", "preset", "expected"),
    [
        ([1000] * 20, "released", 10),
        ([1000] * 20, "paper", 100),
        ([99] * 3, "released", 1),
        ([99] * 3, "paper", 2),
        ([5000, 60, 60], "released", 50),
        ([1], "released", 1),
    ],
)
def test_small_pools_have_fewer_clusters_whatever_the_budget(tmp_path, res_dir, sizes, preset, expected):
    for budget in (1, 0.11, 1.0):
        plan = plan_of(tmp_path, sizes, preset=preset, budget=budget)
        assert plan.settings.num_clusters == expected
        assert (
            plan_of(tmp_path, sizes, preset=preset, budget=budget, num_clusters=7).settings.num_clusters == 7
        )


def test_one_cluster_is_warned_of_as_chance(tmp_path, res_dir):
    (warning,) = plan_of(tmp_path, [60] * 3, budget=20).warnings
    assert warning.startswith("one cluster in each source")
    assert not plan_of(tmp_path, [60] * 3, budget=20, num_clusters=3).warnings
    (warning,) = plan_of(tmp_path, [60] * 3, budget=20, num_clusters=40).warnings
    assert "Take more rows" in warning, "one cluster a source is no advice"
    np.savez(
        tmp_path / "with_tokens.npz",
        losses=np.load(tmp_path / "losses.npy"),
        num_response_tokens=np.full(180, 7, np.int32),
    )
    files = {
        "trajectories_from": str(tmp_path / "with_tokens.npz"),
        "sources_from": str(tmp_path / "sources.npy"),
    }
    config = {"run_name": "tokens", "subset": files | {"budget_tokens": 100}}
    (warning,) = plan_selection(RunConfig.model_validate(config)).warnings
    assert warning.startswith("one cluster in each source")


def test_most_clusters_giving_one_row_or_none_is_warned_of_before_and_after(tmp_path, res_dir):
    plan = plan_of(tmp_path, [1000] * 20, budget=1000, num_clusters=100)
    assert (
        len(plan.warnings) == 1
        and "2,000 clusters" in plan.warnings[0]
        and "num_clusters=5" in plan.warnings[0]
    )
    assert not plan_of(tmp_path, [1000] * 20, budget=1000).warnings
    uneven = plan_of(tmp_path, [300] * 10, budget=200, num_clusters=10, preset="paper")
    assert not uneven.warnings and not run_selection(uneven).warnings
    # Nine clusters of one row.
    losses_NT = np.repeat(np.arange(10.0), [2991, *[1] * 9])[:, None] + np.zeros(3)
    np.save(tmp_path / "losses.npy", losses_NT)
    plan = plan_selection(uneven.config, overwrite=True)
    assert not plan.warnings
    assert len(run_selection(plan).warnings) == 1


def test_subsets_of_two_runs_are_contained_where_no_number_of_clusters_is_given(tmp_path, res_dir):
    rows = {}
    for budget in (60, 200, 700):
        plan = plan_of(tmp_path, [500, 400, 300], num_checkpoints=3, budget=budget)
        rows[budget] = set(read_subset(run_selection(plan).subsets[0].folder).indices.tolist())
        plan.pending[0].folder.rename(tmp_path / str(budget))
    assert rows[60] < rows[200] < rows[700]


def test_the_manifest_says_whether_the_number_of_clusters_was_given(tmp_path, res_dir):
    folders = {}
    for name, setting in (("derived", {}), ("given", {"num_clusters": 3})):
        plan = plan_of(tmp_path, [300, 200], num_checkpoints=3, budget=50, **setting)
        folders[name] = tmp_path / name
        run_selection(plan).subsets[0].folder.rename(folders[name])
    manifests = {name: json.loads((folder / "manifest.json").read_text()) for name, folder in folders.items()}
    assert {manifest["clustering"]["num_clusters"] for manifest in manifests.values()} == {3}
    assert manifests["derived"]["clustering"]["num_clusters_is"] == "derived from the pool"
    assert manifests["given"]["clustering"]["num_clusters_is"] == "given"
    assert "hundredth" in manifests["derived"]["inputs"]["num_clusters"]
    assert manifests["given"]["inputs"]["num_clusters"] == 3
    assert (folders["derived"] / "indices.npy").read_bytes() == (
        folders["given"] / "indices.npy"
    ).read_bytes()


# What was chosen, against rows at random


def test_measures_are_those_of_the_rows(config_file):
    """Written down with the rows of each source side by side."""
    assert command(config_file, FROM_PROXY, "subset.num_clusters=4") == 0
    composition = json.loads((RunPaths("target").subset / "composition.json").read_text())
    indices = np.load(RunPaths("target").subset / "indices.npy")
    first_N, last_N = (
        np.load(RunPaths("proxy").trajectories / f"checkpoint-{step}.npy") for step in (500, 1000)
    )
    for name, value_N in (("first_loss", first_N), ("last_loss", last_N), ("fall_of_loss", first_N - last_N)):
        measure = composition["measures"][name]
        error = 0.0
        expected = 0.0
        for code in range(2):
            pool = np.arange(code, NUM_ROWS, 2)
            chosen = indices[indices % 2 == code]
            expected += len(chosen) / len(indices) * value_N[pool].mean()
            variance = value_N[pool].astype(float).var(ddof=1)
            error += (
                (len(chosen) / len(indices)) ** 2 * variance / len(chosen) * (1 - len(chosen) / len(pool))
            )
        assert measure["chosen"] == pytest.approx(value_N[indices].mean(), rel=1e-5)
        assert measure["at_random"] == pytest.approx(expected, rel=1e-5)
        assert measure["standard_error"] == pytest.approx(np.sqrt(error), rel=1e-4)
    assert composition["measures"]["response_tokens"] == {
        "chosen": 3.0,
        "at_random": 3.0,
        "standard_error": 0.0,
    }


def test_random_rows_differ_from_random_rows_by_chance_alone(config_file):
    from utils.selection.composition import measure

    plan = plan_selection(
        RunConfig.model_validate(
            {
                "run_name": "new",
                "data": {"path": str(config_file.with_name("pool.jsonl"))},
                "subset": {"method": "random_per_source", "trajectories_from": "proxy", "budget": 60},
            }
        )
    )
    deviations = []
    for seed in range(200):
        chosen_N = np.zeros(NUM_ROWS, bool)
        chosen_N[plan.method.choose(plan.candidates, plan.settings, 60, seed).rows] = True
        last_loss = measure(plan.candidates, chosen_N)["last_loss"]
        deviations.append((last_loss["chosen"] - last_loss["at_random"]) / last_loss["standard_error"])
    assert abs(np.mean(deviations)) < 0.2 and 0.85 < np.std(deviations) < 1.15


def test_the_table_shows_whole_names_and_no_clusters_where_there_are_none(config_file, tmp_path, capsys):
    names = ["x" * 150, "x" * 149 + "y"]
    lines = [json.loads(line) for line in (tmp_path / "pool.jsonl").read_text().splitlines()]
    rows = [{**line, "source": names[row % 2]} for row, line in enumerate(lines)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command(config_file, "subset.method=random_per_source") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(name in lines for name in names)
    heading = next(line for line in lines if line.startswith("source "))
    assert "clusters" not in heading and "% of source" in heading
    assert command(config_file, "run_name=clustered") == 0
    assert "clusters" in next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("source ")
    )


def test_limits_of_the_plan_name_the_subset_that_is_extended(config_file, capsys):
    assert command(config_file) == 0
    capsys.readouterr()
    assert command(config_file, "run_name=new", "subset.extend=target", "subset.budget=80", "--dry_run") == 0
    assert "extend target" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "num_gpus", "words"),
    [
        ("s2l", 0, []),
        ("s2l", 1, ["k-means on 1 GPU"]),
        ("s2l", 2, ["k-means on 2 GPUs"]),
        ("random", 2, []),
    ],
)
def test_a_plan_says_on_how_many_gpus_clusters_are_found(make_target, monkeypatch, method, num_gpus, words):
    monkeypatch.setattr("utils.selection.plan.num_gpus", lambda: num_gpus)
    losses_NT = np.random.default_rng(0).gamma(2, 1, (40, 3))
    config, _ = load_config(make_target(pool_rows(40), losses_NT, budget=10, method=method))
    text = in_one_line(selection_plan_text(plan_selection(config)))
    assert re.findall(r"k-means on \d+ GPUs?", text) == words
