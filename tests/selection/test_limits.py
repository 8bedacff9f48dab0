"""Limits on a subset hold exactly, and two that contradict each other are both named.

Several budgets, tokens, rows in and out, sources' minima and maxima, duplicates, contamination,
new rows later.

Legend: N examples of the pool.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_jsonl
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import read_subset
from utils.artifacts.trajectories.read import Trajectories
from utils.config.schema import DataConfig, RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.candidates import Candidates
from utils.selection.contamination import find_contamination
from utils.selection.limits import find_limits, order_within
from utils.selection.methods.extension import by_chance
from utils.selection.methods.table import METHODS
from utils.selection.plan import plan_selection
from utils.selection.resolve import resolve_subset
from utils.selection.token_budget import rows_within_tokens
from utils.stages import select

NUM_ROWS = 200


@pytest.fixture
def place(tmp_path: Path, res_dir: Path) -> Path:
    write_pool(tmp_path)
    write_losses(tmp_path, NUM_ROWS)
    return tmp_path


def write_pool(place: Path, num_rows: int = NUM_ROWS, **columns: dict[int, object]) -> None:
    """Sources a (half), b and c; responses repeat every 50 rows; columns: name -> row -> value."""
    rows = []
    for row in range(num_rows):
        source = "aabc"[row % 4]
        example = {"source": source, "instruction": f"Question {row}?", "output": f"Answer {row % 50}."}
        rows.append(example | {name: values[row] for name, values in columns.items() if row in values})
    write_jsonl(place / "pool.jsonl", rows)


def write_losses(place: Path, num_rows: int, shift: float = 0) -> None:
    """The first rows' losses do not depend on how many follow."""
    losses_NT = np.random.default_rng(0).gamma(2, 1, (num_rows, 3))
    losses_NT[NUM_ROWS:] += shift
    tokens_N = np.random.default_rng(1).integers(1, 40, num_rows)
    np.savez(
        place / "losses.npz",
        losses=losses_NT.astype(np.float32),
        num_response_tokens=tokens_N.astype(np.int32),
    )


def config_of(place: Path, run_name: str = "target", **subset) -> RunConfig:
    defaults = {"trajectories_from": str(place / "losses.npz"), "num_clusters": 5}
    if not {"budget_tokens", "same_as"} & subset.keys():
        defaults["budget"] = 60
    data = {"path": str(place / "pool.jsonl")}
    return RunConfig.model_validate(
        {"run_name": run_name, "seed": 0, "data": data, "subset": defaults | subset}
    )


def chosen(place: Path, run_name: str = "target", **subset) -> np.ndarray:
    select(config_of(place, run_name, **subset))
    return read_subset(RunPaths(run_name).subset).indices


def candidates_of(
    num_rows: int, num_sources: int, seed: int, included: list[int] | None = None
) -> Candidates:
    rng = np.random.default_rng(seed)
    losses = list(rng.gamma(2, 1, (3, num_rows)).astype(np.float32))
    return Candidates(
        np.arange(num_rows),
        rng.integers(0, num_sources, num_rows).astype(np.int32),
        [f"source {code}" for code in range(num_sources)],
        num_rows,
        Trajectories(None, losses, None, Path("nowhere")),
        np.empty(0, int),
        np.array(included or [], np.int64),
    )


# Kinds of trajectories


def write_kinds(place: Path) -> dict[str, list[int]]:
    """Losses that fall, but for a few rows of each kind. Returns: kind -> its rows."""
    losses_NT = np.linspace(4, 5, NUM_ROWS)[:, None] * np.array([1, 0.7, 0.5])
    losses_NT[[3, 50, 77]] = 4
    losses_NT[[77]] += 0.1
    losses_NT[[8, 9]] = [[4, 2, 3.5], [4, 1, 3]]
    np.savez(place / "losses.npz", losses=losses_NT.astype(np.float32))
    return {"never_learnt": [3, 50, 77], "forgotten": [8, 9], "identical": [50]}


@pytest.mark.parametrize("method", ["s2l", "random"])
def test_rows_of_dropped_kinds_are_never_chosen_and_are_counted(place, capsys, method):
    kinds = write_kinds(place)
    everything = chosen(place, "all", budget=1.0, method=method)
    assert len(everything) == NUM_ROWS
    rows = chosen(place, "some", budget=1.0, method=method, drop=list(kinds))
    assert sorted(set(range(NUM_ROWS)) - set(rows.tolist())) == [3, 8, 9, 50, 77]
    assert "note: 3 rows never_learnt: not selectable (subset.drop)" in capsys.readouterr().err
    manifest = read_subset(RunPaths("some").subset).manifest
    assert manifest.dropped == {"never_learnt": 3, "forgotten": 2, "identical": 1}
    assert manifest.inputs["drop"] == ["forgotten", "identical", "never_learnt"]
    assert manifest.needs_trajectories, "the proxy is part of the cost of random, too, then"
    of_all = read_subset(RunPaths("all").subset).manifest
    assert of_all.dropped is None and of_all.needs_trajectories == (method == "s2l")


def test_dropping_kinds_is_leaving_out_what_inspect_exports(place):
    rows = write_kinds(place)["never_learnt"]
    (place / "out.txt").write_text("".join(f"{row}\n" for row in rows))
    by_kind = chosen(place, "by_kind", drop=["never_learnt"])
    assert np.array_equal(by_kind, chosen(place, "by_list", exclude=str(place / "out.txt")))


def test_a_row_that_must_be_in_and_is_of_a_dropped_kind_is_refused(place):
    write_kinds(place)
    (place / "in.txt").write_text("4\n50\n")
    with pytest.raises(ValueError, match=r"subset.include and subset.drop \(never_learnt\).*row 50"):
        chosen(place, include=str(place / "in.txt"), drop=["never_learnt"])


def test_rows_that_were_chosen_stay_whatever_their_kind_becomes(place):
    write_kinds(place)
    old = chosen(place, "old", drop=["forgotten"], budget=180)
    write_pool(place, NUM_ROWS + 20)
    losses_NT = np.load(place / "losses.npz")["losses"]
    np.savez(place / "losses.npz", losses=np.concatenate([losses_NT, losses_NT[:20] + 1]))
    new = chosen(place, "new", drop=["forgotten", "never_learnt"], extend="old", budget=190)
    assert set(old) < set(new)


# Several budgets


def test_several_budgets_are_the_subsets_of_each_alone(place):
    select(config_of(place, "several", budget=[0.1, 60, 0.5]))
    assert not RunPaths("several").subset.exists()
    for rows, budget in ((20, 0.1), (60, 60), (100, 0.5)):
        folder = RunPaths("several").root / f"subset-{rows}"
        assert np.array_equal(read_subset(folder).indices, chosen(place, f"alone-{rows}", budget=budget))
        assert len((folder / "subset.jsonl").read_text().splitlines()) == rows


def test_one_of_several_subsets_can_be_trained_on(place, capsys):
    select(config_of(place, "several", budget=[20, 60]))
    config = config_of(place, "train", same_as="several/subset-20")
    assert len(resolve_subset(config).indices) == 20
    select(config)
    assert "uses the subset of run several/subset-20" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"a run is trained on one.*RUN/subset-<rows>"):
        resolve_subset(config_of(place, "several", budget=[20, 60]))


def test_two_budgets_of_the_same_rows_are_refused(place):
    with pytest.raises(ValueError, match=r"found 20 and 0\.1, which are the same number of rows"):
        select(config_of(place, "several", budget=[20, 0.1, 60]))
    select(config_of(place, "one_and_all", budget=[1, 1.0]))
    found = [read_subset(RunPaths("one_and_all").subset_of(rows)).indices for rows in (1, NUM_ROWS)]
    assert list(map(len, found)) == [1, NUM_ROWS]


@pytest.mark.parametrize("kind", ["int64", "bool", "txt"])
def test_a_mask_is_not_taken_for_row_numbers(place, kind):
    mask_N = np.arange(NUM_ROWS) % 2
    if kind == "txt":
        (place / "mask.txt").write_text("\n".join(map(str, mask_N)))
    else:
        np.save(place / "mask.npy", mask_N.astype(kind))
    with pytest.raises(ValueError, match=r"numpy\.flatnonzero"):
        select(config_of(place, "masked", include=str(place / f"mask.{'txt' if kind == 'txt' else 'npy'}")))


def test_a_further_budget_leaves_those_that_are_there(place, capsys):
    select(config_of(place, budget=[20, 60]))
    manifest = RunPaths("target").root / "subset-20" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    select(config_of(place, budget=[20, 80]))
    assert "already there" in capsys.readouterr().out and manifest.stat().st_mtime_ns == before
    assert len(read_subset(RunPaths("target").root / "subset-80").indices) == 80


# Tokens


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50), st.integers(1, 400))
def test_a_token_budget_is_never_exceeded_and_missed_by_less_than_the_next_row(tokens, budget):
    order = np.random.default_rng(0).permutation(len(tokens))
    tokens_N = np.array(tokens, np.int32)
    if tokens_N[order[0]] > budget:
        with pytest.raises(ValueError, match="subset.budget_tokens"):
            rows_within_tokens(order, tokens_N, budget, 0)
        return
    num_rows = rows_within_tokens(order, tokens_N, budget, 0)
    spent = tokens_N[order[:num_rows]].sum()
    assert spent <= budget and (num_rows == len(order) or spent + tokens_N[order[num_rows]] > budget)


@pytest.mark.parametrize("method", ["s2l", "random", "longest"])
def test_a_smaller_token_budget_is_contained_in_a_larger(place, method):
    tokens_N = np.load(place / "losses.npz")["num_response_tokens"]
    small, large = (
        chosen(place, f"{method}{budget}", method=method, budget_tokens=budget) for budget in (500, 1500)
    )
    assert tokens_N[small].sum() <= 500 and 1500 - 40 < tokens_N[large].sum() <= 1500
    assert set(small) < set(large)


def test_a_token_budget_without_token_counts_names_the_command(place):
    np.save(place / "losses.npy", np.load(place / "losses.npz")["losses"])
    with pytest.raises(FileNotFoundError, match=r"run_distributed_trajectories.py[\s\S]*num_response_tokens"):
        chosen(place, trajectories_from=str(place / "losses.npy"), budget_tokens=500)


# Sources' limits


@settings(max_examples=60)
@given(
    st.integers(2, 80),
    st.integers(1, 5),
    st.integers(0, 20),
    st.integers(1, 30),
    st.integers(0, 9),
    st.data(),
)
def test_limits_hold_and_smaller_budgets_stay_contained(num_rows, num_sources, minimum, maximum, seed, data):
    included = sorted(data.draw(st.sets(st.integers(0, num_rows - 1), max_size=3)))
    candidates = candidates_of(num_rows, num_sources, seed, included)
    limits = {"min_per_source": min(minimum, maximum) or None, "max_per_source": max(maximum, 3)}
    method = data.draw(st.sampled_from(["s2l", "random", "random_per_source", "middle_perplexity"]))
    subset = SubsetConfig.model_validate({"num_clusters": 3, **limits})
    found = find_limits(candidates, subset)
    order = METHODS[method].choose(candidates, subset, num_rows, seed).order
    num_required = int(found.least_S.sum())
    order = order_within(found, order, candidates)
    assert len(set(order.tolist())) == len(order)
    sizes = np.bincount(candidates.source_codes_n, minlength=num_sources)
    for budget in range(num_required, len(order) + 1):
        taken = np.bincount(candidates.source_codes_n[order[:budget]], minlength=num_sources)
        assert np.all(taken >= np.minimum(limits["min_per_source"] or 0, sizes))
        assert np.all(taken <= limits["max_per_source"]) and set(included) <= set(order[:budget].tolist())
    assert np.array_equal(
        np.bincount(candidates.source_codes_n[order], minlength=num_sources),
        np.minimum(sizes, limits["max_per_source"]),
    )


def test_a_maximum_is_water_filling_with_that_cap(place):
    """Sources of 100, 50 and 50 rows share 90: 30 each; with at most 10 of b, the others get 40."""
    sources = np.array(list("aabc" * 50))
    for limits, expected in (
        ({}, [30, 30, 30]),
        ({"max_per_source": {"b": 10}}, [40, 10, 40]),
        ({"min_per_source": {"c": 45}}, [23, 22, 45]),
        ({"max_per_source": 30}, [30, 30, 30]),
    ):
        rows = chosen(place, f"limits-{sum(expected[:1])}-{len(str(limits))}", budget=90, **limits)
        found = [(sources[rows] == name).sum() for name in "abc"]
        assert sorted(found[:2]) == sorted(expected[:2]) and found[2] == expected[2]


# Rows in, rows out


def test_rows_that_must_be_in_or_out_are(place):
    (place / "in.txt").write_text("7\n3\n\n199\n")
    np.save(place / "out.npy", np.arange(0, 200, 2))
    for method in ("s2l", "random", "middle_perplexity"):
        files = {"include": str(place / "in.txt"), "exclude": str(place / "out.npy")}
        rows = chosen(place, method, method=method, **files)
        assert {3, 7, 199} <= set(rows) and np.all(rows % 2 == 1) and len(rows) == 60


def test_rows_that_must_be_in_count_as_their_clusters_share(place):
    """With 5 clusters in each source, the quotas stay as even as without."""
    plain = chosen(place, "plain")
    (place / "in.txt").write_text("\n".join(map(str, np.setdiff1d(np.arange(NUM_ROWS), plain)[:6])))
    chosen(place, "with", include=str(place / "in.txt"))

    def sources(run: str) -> dict[str, int]:
        composition = json.loads((RunPaths(run).subset / "composition.json").read_text())
        return {name: source["chosen"] for name, source in composition["sources"].items()}

    assert sources("with") == sources("plain")


def test_a_column_of_the_pool_says_which_rows(place):
    write_pool(place, must={3: True, 4: False, 9: True}, never={row: 1 for row in range(100, 200)})
    rows = chosen(place, include="must", exclude="never")
    assert {3, 9} <= set(rows) and rows.max() < 100
    with pytest.raises(ValueError, match="no row of .* has a column 'mist'"):
        chosen(place, "other", include="mist")
    write_pool(place, must={3: "true", 4: "False", 9: "1"}, never={row: 1.0 for row in range(100, 200)})
    assert np.array_equal(rows, chosen(place, "as-texts", include="must", exclude="never")), "as CSV has them"
    write_pool(place, must={3: "yes"})
    with pytest.raises(ValueError, match="column 'must' holds 'yes' in row 3, expected true or false"):
        chosen(place, "other", include="must")


@pytest.mark.parametrize("setting", ["include", "exclude"])
def test_a_column_that_was_edited_asks_for_another_subset(place, setting):
    write_pool(place, mark={3: True})
    chosen(place, **{setting: "mark"})
    write_pool(place, mark={4: True})
    with pytest.raises(ValueError, match=rf"made from other inputs:\n  {setting}\.rows: there"):
        chosen(place, **{setting: "mark"})


def test_a_list_of_rows_may_begin_with_a_byte_order_mark_and_is_text(place):
    (place / "out.txt").write_bytes(b"\xef\xbb\xbf7\r\n3\r\n\r\n")
    assert not {3, 7} & set(chosen(place, "plain", exclude=str(place / "out.txt"), budget=198))
    for content, words in (
        ("7\n".encode("utf-16"), "UTF-16"),
        (b"7\n\xe9\n", "line 2"),
        (b"9" * 30, "row numbers"),
    ):
        (place / "out.txt").write_bytes(content)
        with pytest.raises(ValueError, match=words):
            chosen(place, "other", exclude=str(place / "out.txt"))


def test_equal_responses_count_once(place):
    rows = chosen(place, deduplicate="exact", budget=50)
    assert sorted(rows % 50) == list(range(50)) and rows.max() < 50, "the first of each"
    (place / "in.txt").write_text("170")
    rows = chosen(place, "other", deduplicate="exact", budget=50, include=str(place / "in.txt"))
    assert 170 in rows and 20 not in rows


def test_a_duplicate_of_a_row_without_a_loss_stays_selectable(place):
    losses_NT = np.load(place / "losses.npz")["losses"]
    losses_NT[7] = np.nan
    np.savez(place / "losses.npz", losses=losses_NT)
    rows = chosen(place, deduplicate="exact", budget=50)
    assert 57 in rows and 7 not in rows


def test_rows_that_contain_benchmark_questions_are_out_and_reported(place, capsys):
    question = "A farmer has 12 sheep, sells 5 of them and buys 3; how many sheep are left?"
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    rows[3]["instruction"] = "Please solve: a FARMER has 12 sheep -- sells 5 of them and buys 3. Answer!"
    rows[5]["output"] = "It says: a farmer has 12 sheep sells 5 of them and buys."
    rows[7]["instruction"] = "A farmer has 12 sheep and sells 5 of them."  # no ten words in a row
    rows[9]["instruction"] = "what is 7 + 8"
    rows[11]["instruction"] = "And what is 7 + 8 then?"
    write_jsonl(place / "pool.jsonl", rows)
    write_jsonl(
        place / "bench.jsonl",
        [{"instruction": "Nothing of this."}, {"instruction": question, "answer": "10"}],
    )
    (place / "bench.txt").write_text("What is 7 + 8?\n")
    files = [str(place / "bench.jsonl"), str(place / "bench.txt")]
    indices = chosen(place, decontaminate=files, budget=197)
    assert sorted(set(range(NUM_ROWS)) - set(indices)) == [3, 5, 9]
    report = json.loads((RunPaths("target").subset / "contamination.json").read_text())
    assert [(hit["row"], hit["file"], hit["question"]) for hit in report] == [
        (3, files[0], 1),
        (5, files[0], 1),
        (9, files[1], 0),
    ]
    assert report[0]["words"] == "a farmer has 12 sheep sells 5 of them and"
    assert "3 rows contain benchmark questions" in capsys.readouterr().err


def test_questions_of_scripts_without_spaces_and_with_marks_are_found(tmp_path):
    chinese = "小明有五个苹果，他给了小红两个，又买了三个苹果，请问小明现在一共有多少个苹果？"
    hindi = "एक किसान के पास बारह भेड़ें हैं।"  # seven words, each with marks
    instructions = [
        f"请解答下面的数学题。{chinese}",
        chinese[:12],
        hindi[:-1],
        f"{hindi} और गायें",
        "他给了小红两个",
    ]
    rows = [{"instruction": text, "output": "4"} for text in instructions]
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows))))
    (tmp_path / "bench.txt").write_text(f"{chinese}\n{hindi}\n", encoding="utf-8")
    assert [hit["row"] for hit in find_contamination(pool, [str(tmp_path / "bench.txt")])] == [0, 2]


def test_a_benchmark_question_that_is_a_turn_of_a_conversation_is_found(tmp_path):
    def row(*texts: str) -> dict[str, object]:
        roles = ["system", "user", "assistant", "user", "assistant"]
        return {
            "messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
        }

    rows = [row("Be kind.", "Hi", "Hello", "What is 7 + 8?", "15"), row("Be kind.", "What is", "7 + 8?")]
    pool = Pool(
        DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows)), format="messages", template="chat")
    )
    (tmp_path / "bench.txt").write_text("what is 7 + 8\n")
    hits = find_contamination(pool, [str(tmp_path / "bench.txt")])
    assert [hit["row"] for hit in hits] == [0]


@pytest.mark.parametrize(
    ("subset", "words"),
    [
        ({"include": "in.txt", "exclude": "in.txt"}, ["subset.include", "subset.exclude", "rows 1, 2, 51"]),
        ({"include": "in.txt", "budget": 2}, ["subset.include", "subset.budget", "3 rows"]),
        ({"include": "in.txt", "deduplicate": "exact"}, ["subset.include", "subset.deduplicate", "1 and 51"]),
        (
            {"include": "in.txt", "decontaminate": ["bench.txt"]},
            ["subset.include", "subset.decontaminate", "row"],
        ),
        ({"include": "two.txt", "max_per_source": 1}, ["subset.include", "subset.max_per_source", "'a'"]),
        ({"include": "in.txt", "budget_tokens": 1}, ["subset.include", "subset.budget_tokens"]),
        ({"min_per_source": 10, "max_per_source": {"b": 5}}, ["min_per_source", "max_per_source", "'b'"]),
        ({"min_per_source": 40}, ["subset.budget", "subset.min_per_source", "120", "60"]),
        ({"max_per_source": 10}, ["subset.budget", "subset.max_per_source", "30", "60"]),
        ({"max_per_source": {"bb": 10}}, ["subset.max_per_source", "did you mean 'b'"]),
        ({"include": "nowhere.txt"}, ["subset.include", "nowhere.txt does not exist"]),
        ({"exclude": "bench.txt"}, ["subset.exclude", "found 'Question'", "row numbers"]),
        ({"exclude": "far.txt"}, ["subset.exclude", "found row 200", "0 to 199"]),
        ({"decontaminate": ["nowhere.jsonl"]}, ["subset.decontaminate", "nowhere.jsonl does not exist"]),
    ],
)
def test_settings_in_conflict_are_both_named(place, monkeypatch, subset, words):
    monkeypatch.chdir(place)
    Path("in.txt").write_text("1\n2\n51\n")
    Path("two.txt").write_text("1 5")
    Path("far.txt").write_text("200")
    Path("bench.txt").write_text("Question 2?\n")
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        chosen(place, **subset)
    assert all(word in str(refusal.value) for word in words), refusal.value
    assert not RunPaths("target").subset.exists()


def test_rows_without_a_source_are_named_as_a_setting_names_them(place):
    write_pool(place, source=dict.fromkeys(range(0, NUM_ROWS, 2), ""))
    with pytest.raises(ValueError, match=r"unknown name '\(none\)'; known: '' \(rows without one\), a, c$"):
        chosen(place, budget=6, max_per_source={"(none)": 2})
    rows = chosen(place, budget=6, max_per_source={"": 1})
    assert np.count_nonzero(rows % 2 == 0) == 1


def test_both_budgets_at_once_are_refused(place):
    with pytest.raises(ValueError, match=r"both budget \(60\) and budget_tokens \(500\)"):
        config_of(place, budget=60, budget_tokens=500)


def test_a_changed_file_of_rows_is_noticed(place):
    (place / "out.txt").write_text("1")
    chosen(place, exclude=str(place / "out.txt"))
    (place / "out.txt").write_text("2")
    with pytest.raises(ValueError, match=r"made from other inputs[\s\S]*exclude"):
        chosen(place, exclude=str(place / "out.txt"))


# New rows later


def grow(place: Path, num_rows: int = 320, **losses) -> None:
    write_pool(place, num_rows)
    write_losses(place, num_rows, **losses)


@pytest.mark.parametrize("preset", ["released", "paper"])
def test_new_rows_join_and_nothing_chosen_goes(place, preset, capsys):
    old = chosen(place, "old", preset=preset)
    old_clusters = np.load(RunPaths("old").subset / "clusters.npy")
    grow(place)
    new = chosen(place, "new", preset=preset, extend="old", budget=110)
    assert set(old) < set(new) and len(new) == 110 and (new >= NUM_ROWS).sum() > 20
    clusters_N = np.load(RunPaths("new").subset / "clusters.npy")
    assert np.array_equal(clusters_N[:NUM_ROWS], old_clusters) and np.all(clusters_N >= 0)
    centroids = np.load(RunPaths("new").subset / "centroids.npy")
    assert np.array_equal(centroids, np.load(RunPaths("old").subset / "centroids.npy"))
    losses_NT = np.load(place / "losses.npz")["losses"]
    sources = np.array(list("aabc" * 80))
    for row in range(NUM_ROWS, 320):
        own = clusters_N[sources == sources[row]] if preset == "released" else clusters_N
        distances = {
            number: ((centroids[number] - losses_NT[row]) ** 2).sum() for number in set(own.tolist())
        }
        assert distances[clusters_N[row]] <= min(distances.values()) + 1e-4
    assert "120 new rows joined" in capsys.readouterr().err


def test_a_subset_by_an_earlier_definition_is_not_extended(place, monkeypatch):
    chosen(place, "old")
    grow(place)
    monkeypatch.setitem(METHODS, "s2l", replace(METHODS["s2l"], revision=2))
    with pytest.raises(ValueError, match=r"revision: .*now 2"):
        chosen(place, "new", extend="old", budget=110)


def test_an_extended_subset_can_be_extended(place):
    old = chosen(place, "old")
    grow(place, 260)
    middle = chosen(place, "middle", extend="old", budget=80)
    grow(place, 320)
    new = chosen(place, "new", extend="middle", budget=100)
    assert set(old) < set(middle) < set(new)


def test_new_rows_that_do_not_fit_the_clusters_are_warned_of(place, capsys):
    chosen(place, "old")
    grow(place, shift=50)
    chosen(place, "new", extend="old", budget=110)
    assert (
        "warning: 120 new rows joined the clusters, and 100.0 % of them are farther"
        in capsys.readouterr().err
    )


def test_few_new_rows_far_away_are_an_accident_and_many_are_not():
    assert by_chance(3, 50) > 0.4, "6 % of 50 rows"
    assert by_chance(3000, 50_000) < 1e-9, "6 % of 50,000 rows"
    assert by_chance(0, 10) == 1 and by_chance(10, 10) < 1e-9
    tail = sum(math.comb(50, k) * 0.05**k * 0.95 ** (50 - k) for k in range(8, 51))
    assert by_chance(8, 50) == pytest.approx(tail)


def test_a_new_source_is_clustered_by_itself(place):
    old = chosen(place, "old")
    grow(place)
    lines = (place / "pool.jsonl").read_text().splitlines()
    rows = [
        json.loads(line) | ({"source": "new"} if number >= 280 else {}) for number, line in enumerate(lines)
    ]
    write_jsonl(place / "pool.jsonl", rows)
    new = chosen(place, "new", extend="old", budget=110)
    assert set(old) < set(new) and (new >= 280).sum() > 10
    clusters_N = np.load(RunPaths("new").subset / "clusters.npy")
    num_old = len(np.load(RunPaths("old").subset / "centroids.npy"))
    assert np.all(clusters_N[280:] >= num_old) and np.all(clusters_N[:280] < num_old)


@pytest.mark.parametrize("features", ["shape", "reductions", "whitened"])
def test_features_of_old_rows_stay_what_they_were_and_new_rows_join_their_clusters(place, features):
    old = chosen(place, "old", features=features)
    clusters_M = np.load(RunPaths("old").subset / "clusters.npy")
    grow(place, shift=1)
    new = chosen(place, "new", features=features, extend="old", budget=110)
    clusters_N = np.load(RunPaths("new").subset / "clusters.npy")
    assert set(old) < set(new) and np.array_equal(clusters_N[: len(clusters_M)], clusters_M)
    with pytest.raises(ValueError, match=f"features: there '{features}', now nothing"):
        chosen(place, "other", extend="old", budget=110)


@pytest.mark.parametrize("method", ["random", "longest"])
def test_subsets_without_clusters_can_be_extended_too(place, method):
    old = chosen(place, "old", method=method)
    grow(place)
    assert set(old) < set(chosen(place, "new", method=method, extend="old", budget=110))


def test_a_clustered_subset_without_its_centroids_is_refused(place):
    """Not clustered anew: its rows would change their clusters."""
    chosen(place, "old")
    (RunPaths("old").subset / "centroids.npy").unlink()
    grow(place)
    with pytest.raises(FileNotFoundError, match=r"centroids.npy is gone"):
        chosen(place, "new", extend="old", budget=110)


def test_of_several_subsets_one_is_to_be_named(place):
    select(config_of(place, "old", budget=[20, 40]))
    grow(place)
    with pytest.raises(FileNotFoundError, match=r"name one of its several, old/subset-20, old/subset-40"):
        chosen(place, "new", extend="old", budget=110)


def test_what_cannot_be_extended_is_refused(place):
    with pytest.raises(FileNotFoundError, match=r"subset.extend: run 'old' has no subset.*select_s2l.py"):
        chosen(place, extend="old")
    chosen(place, "old")
    grow(place)
    with pytest.raises(ValueError, match=r"num_clusters: there 5, now 6[\s\S]*subset.extend"):
        chosen(place, extend="old", num_clusters=6, budget=110)
    with pytest.raises(
        ValueError, match=r"subset.budget and subset.include \(or subset.extend\) are in conflict: 60 rows"
    ):
        chosen(place, extend="old", budget=59)
    text = (place / "pool.jsonl").read_text()
    (place / "pool.jsonl").write_text(text.replace("Question 7?", "Question seven?"))
    with pytest.raises(ValueError, match=r"pool: there[\s\S]*the first 200 rows"):
        chosen(place, extend="old", budget=110)
    (place / "pool.jsonl").write_text(text)
    losses_NT = np.load(place / "losses.npz")["losses"]
    np.savez(place / "losses.npz", losses=losses_NT[::-1])
    with pytest.raises(ValueError, match="not those the subset was made from"):
        plan_selection(config_of(place, extend="old", budget=110))
