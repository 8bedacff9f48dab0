"""Selection: the budget is spent exactly and evenly, smaller subsets lie inside larger ones, and nothing but the inputs
decides. Needs neither torch nor a model.

Legend: N examples of the pool, T checkpoints.
"""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_jsonl
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import Subset, read_subset
from utils.artifacts.trajectories import Trajectories
from utils.artifacts.trajectory_folder import begin_trajectories, finish_checkpoint
from utils.config.schema import RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.budgets import budget_in_rows
from utils.selection.candidates import Candidates, positions_by_group
from utils.selection.kmeans import cluster_rows
from utils.selection.made_subset import resolve_subset
from utils.selection.methods import METHODS
from utils.selection.random_order import in_random_order, random_keys, sample_positions
from utils.selection.s2l import take_turns
from utils.selection.stage import select

SIMD_LEVEL_AT_START = faiss.SIMDConfig.get_level()
PRESETS = ("released", "paper")
EVERY_METHOD = [("random", "paper"), ("random_per_source", "paper"), ("s2l", "released"), ("s2l", "paper")]

# Water-filling: Algorithm 1 as it is printed, one budget at a time, is what taking turns is compared with


def water_fill(sizes: list[int], budget: int) -> list[int]:
    """Clusters ascending by size; the k-th of K gives min(its size, what is left // (K - k + 1))."""
    quotas, left = [0] * len(sizes), budget
    ascending = sorted(range(len(sizes)), key=sizes.__getitem__)
    for place, group in enumerate(ascending):
        quotas[group] = min(sizes[group], left // (len(sizes) - place))
        left -= quotas[group]
    return quotas


def groups_of(sizes: list[int], seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Groups of these sizes (none empty), each in the random order of its keys; the keys."""
    keys = random_keys(seed, sum(sizes))
    ends = np.cumsum(sizes).tolist()
    groups = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True) if size]
    return [in_random_order(group, keys) for group in groups], keys


def quotas_of(order: np.ndarray, sizes: list[int], budget: int) -> list[int]:
    return [int(np.isin(order[:budget], group).sum()) for group in groups_of(sizes)[0]]


sizes_lists = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 22))
def test_taking_turns_is_the_most_even_way_to_spend_the_budget(sizes, budget):
    spent = min(budget, sum(sizes))
    every_way = itertools.product(*(range(size + 1) for size in sizes))
    most_even = max(sorted(quotas) for quotas in every_way if sum(quotas) == spent)
    assert sorted(quotas_of(take_turns(*groups_of(sizes)), sizes, budget)) == most_even


@given(sizes_lists, st.integers(0, 500), st.integers(0, 99))
def test_the_first_rows_in_turn_are_those_of_algorithm_1(sizes, budget, seed):
    groups, keys = groups_of(sizes, seed)
    order = take_turns(groups, keys)
    assert sorted(order.tolist()) == list(range(sum(sizes)))
    quotas = quotas_of(order, sizes, budget)
    by_rule = water_fill(sizes, min(budget, sum(sizes)))
    assert sorted(zip(sizes, quotas, strict=True)) == sorted(zip(sizes, by_rule, strict=True)), "ties aside"
    for group, quota in zip(groups, quotas, strict=True):
        assert set(group[:quota].tolist()) == set(order[:budget].tolist()) & set(group.tolist()), "in the group's order"


def test_water_filling_follows_the_rule_of_algorithm_1():
    sizes = [1, 1, 2, 5, 10, 50, 100]
    assert quotas_of(take_turns(*groups_of(sizes)), sizes, 40) == [1, 1, 2, 5, 10, 10, 11]
    assert quotas_of(take_turns(*groups_of([100, 5, 5])), [100, 5, 5], 20) == [10, 5, 5]


@given(sizes_lists, st.integers(1, 6), st.integers(0, 500))
def test_small_groups_get_nothing_until_the_others_are_spent(sizes, min_size, budget):
    quotas = quotas_of(take_turns(*groups_of(sizes), min_size), sizes, budget)
    assert sum(quotas) == min(budget, sum(sizes))
    small_taken = sum(quota for quota, size in zip(quotas, sizes, strict=True) if size < min_size)
    others_left = sum(size - quota for quota, size in zip(quotas, sizes, strict=True) if size >= min_size)
    assert small_taken == 0 or others_left == 0


@given(sizes_lists, st.integers(0, 99), st.randoms())
def test_the_order_in_which_groups_are_listed_does_not_matter(sizes, seed, shuffler):
    groups, keys = groups_of(sizes, seed)
    order = take_turns(groups, keys, 2)
    shuffler.shuffle(groups)
    assert np.array_equal(take_turns(groups, keys, 2), order)


# The seeded random order


def test_every_row_is_as_likely_as_any_other():
    num_seeds, num_rows, quota = 2000, 10, 3
    counts = np.zeros(num_rows, int)
    for seed in range(num_seeds):
        counts[in_random_order(np.arange(num_rows), random_keys(seed, num_rows))[:quota]] += 1
    # Binomial(2000, 0.3): mean 600, standard deviation 20.5; five of them.
    assert np.all(np.abs(counts - num_seeds * quota / num_rows) < 103), counts


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_groups_of_one_row_each_are_served_like_a_single_group(num_rows, seed):
    keys = random_keys(seed, num_rows)
    singles, whole = [np.array([row]) for row in range(num_rows)], in_random_order(np.arange(num_rows), keys)
    assert np.array_equal(take_turns(singles, keys), take_turns([whole], keys))


@given(st.integers(1, 300), st.integers(0, 99), st.data())
def test_a_sample_has_no_row_twice(num_rows, seed, data):
    size = data.draw(st.integers(1, num_rows))
    sample = sample_positions(num_rows, size, seed)
    assert len(sample) == size and np.all(np.diff(sample) > 0) and sample[0] >= 0 and sample[-1] < num_rows
    assert np.array_equal(sample, sample_positions(num_rows, size, seed))


# k-means


def cluster(losses, num_clusters, seed=0, init="random", num_restarts=1, max_points_per_centroid=None, iterations=20):
    losses = np.asarray(losses, np.float32)
    found, centroids = cluster_rows(
        losses.__getitem__, len(losses), num_clusters, seed, iterations, init, num_restarts, max_points_per_centroid
    )
    assert len(centroids) == found.max() + 1
    return found


def test_planted_clusters_of_very_different_sizes_are_recovered():
    rng = np.random.default_rng(0)
    planted = rng.permutation(np.repeat(np.arange(6), [20, 40, 100, 300, 600, 1000]))
    centres = 5 * rng.permutation(np.eye(6, 8) + np.tri(6, 8))
    losses = centres[planted] + rng.normal(0, 0.05, (len(planted), 8))
    found = cluster(losses, 6, init="kmeans++", num_restarts=5)
    assert len(set(zip(planted.tolist(), found.tolist(), strict=True))) == 6


@pytest.mark.parametrize("init", ["random", "kmeans++"])
@pytest.mark.parametrize("cap", [None, 4])
def test_every_row_has_a_cluster_and_clusters_are_numbered_by_their_lowest_rows(init, cap):
    losses = np.random.default_rng(1).gamma(2, 1, (500, 3))
    found = cluster(losses, 20, init=init, max_points_per_centroid=cap)
    assert found.dtype == np.int32 and found.shape == (500,)
    numbers, lowest_rows = np.unique(found, return_index=True)
    assert 1 < len(numbers) <= 20 and np.array_equal(numbers, np.arange(len(numbers)))
    assert np.all(np.diff(lowest_rows) > 0)


def test_each_distinct_trajectory_is_a_cluster_where_there_are_no_more_of_them_than_clusters():
    assert cluster([[3.0, 1.0]], 5).tolist() == [0]
    assert cluster([[2.0, 1.0]] * 4, 5).tolist() == [0, 0, 0, 0]
    assert cluster([[2.0, 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, 3.0]], 3).tolist() == [0, 1, 0, 2]
    assert cluster([[0.0], [-0.0], [5.0], [4.0]], 4).tolist() == [0, 0, 1, 2]
    assert len(set(cluster(np.arange(30.0)[:, None], 30).tolist())) == 30


def test_equal_trajectories_share_a_cluster():
    losses = np.random.default_rng(2).integers(0, 4, (300, 3))
    found = cluster(losses, 10)
    _, same = np.unique(losses, axis=0, return_inverse=True)
    assert len(set(zip(same.tolist(), found.tolist(), strict=True))) == len(set(same.tolist()))


def test_several_restarts_count_by_their_tightest_result():
    losses = np.random.default_rng(5).random((400, 3))

    def spread(**options: Any) -> float:
        found = cluster(losses, 12, **options)
        return sum(((losses[found == k] - losses[found == k].mean(0)) ** 2).sum() for k in set(found.tolist()))

    assert spread(num_restarts=20) < spread(num_restarts=1)


def test_global_state_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 12_345)
    before = [str(np.random.get_state(legacy=False)), random.getstate(), faiss.omp_get_max_threads()]
    for init in ("random", "kmeans++"):
        cluster(np.random.default_rng(3).random((400, 4)), 8, init=init)
    with pytest.raises(AssertionError):
        cluster(np.random.default_rng(3).random((400, 4)), 0)
    METHODS["s2l"].choose(candidates_of([0] * 50), subset_config(num_clusters=4), 10, 0)
    assert [str(np.random.get_state(legacy=False)), random.getstate(), faiss.omp_get_max_threads()] == before
    assert faiss.cvar.distance_compute_blas_threshold == 12_345
    assert faiss.SIMDConfig.get_level() == SIMD_LEVEL_AT_START


# Planted clusters: where the answer is known


def planted(seed: int, num_clusters: int = 20, num_checkpoints: int = 6) -> tuple[Candidates, np.ndarray]:
    """Candidates from clusters of sizes 1 : 50, centres at least 20 standard deviations of the noise apart; the clusters."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(8, 400, num_clusters).astype(int)
    cluster_N = rng.permutation(np.repeat(np.arange(num_clusters), sizes))
    centres_KT = 20 * rng.permutation(np.arange(num_clusters))[:, None] + rng.uniform(
        0, 5, (num_clusters, num_checkpoints)
    )
    distances = np.linalg.norm(centres_KT[:, None] - centres_KT, axis=2)
    assert distances[~np.eye(num_clusters, dtype=bool)].min() >= 20
    losses_NT = centres_KT[cluster_N] + rng.normal(0, 1, (len(cluster_N), num_checkpoints))
    rows, num_rows = np.arange(len(cluster_N)), len(cluster_N)
    trajectories = trajectories_of(losses_NT)
    return Candidates(rows, np.zeros(num_rows, np.int32), [""], num_rows, trajectories, np.empty(0, int)), cluster_N


@pytest.mark.parametrize("seed", range(3))
def test_s2l_takes_as_many_of_every_planted_cluster_and_random_does_not(seed):
    candidates, cluster_N = planted(seed)
    subset = subset_config("paper", num_clusters=20, init="kmeans++", num_restarts=10)
    choice = METHODS["s2l"].choose(candidates, subset, 100, seed)
    assert len(set(zip(cluster_N.tolist(), choice.clusters_N.tolist(), strict=True))) == 20
    assert np.bincount(cluster_N[choice.rows], minlength=20).tolist() == [5] * 20
    at_random = METHODS["random"].choose(candidates, subset, 100, seed).rows
    assert np.bincount(cluster_N[at_random], minlength=20).min() < 3


@pytest.mark.parametrize("num_sources", [1, 7, 20_000])
def test_any_number_of_sources(num_sources):
    """As many sources as rows is random choice: no source has two rows to choose between."""
    num_rows = 20_000
    losses = np.random.default_rng(0).random((num_rows, 1))
    candidates = Candidates(
        np.arange(num_rows),
        (np.arange(num_rows) % num_sources).astype(np.int32),
        [f"{code:06}" for code in range(num_sources)],
        num_rows,
        trajectories_of(losses),
        np.empty(0, int),
    )
    rows = METHODS["random_per_source"].choose(candidates, subset_config(), 700, 0).rows
    assert len(rows) == 700 and np.all(np.bincount(rows % num_sources) <= -(-700 // num_sources))
    if num_sources == num_rows:
        assert np.array_equal(rows, METHODS["s2l"].choose(candidates, subset_config(), 700, 0).rows)
        assert np.array_equal(rows, METHODS["random"].choose(candidates, subset_config(), 700, 0).rows)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=300))
def test_positions_by_group_are_a_stable_sort(groups):
    group_n, num_groups = np.array(groups, np.int32), max(groups) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.selection.candidates._SORTED_AT_ONCE", 17)
        found = positions_by_group(group_n, num_groups)
    for number, positions in enumerate(found):
        assert positions.tolist() == np.flatnonzero(group_n == number).tolist()


# Methods, without a disk


def candidates_of(sources: list[int], seed: int = 0, num_checkpoints: int = 4) -> Candidates:
    """Candidates with random trajectories; every seventh row of the pool is not selectable."""
    rng = np.random.default_rng(seed)
    num_examples = len(sources)
    selectable = np.flatnonzero(np.arange(num_examples) % 7 != 6)
    losses_NT = rng.gamma(2, 1, (num_examples, 1)) * rng.uniform(0.8, 1.2, (num_examples, num_checkpoints))
    return Candidates(
        rows=selectable,
        source_codes_n=np.array(sources, np.int32)[selectable],
        source_names=[f"source {code}" for code in range(max(sources) + 1)],
        num_examples=num_examples,
        trajectories=trajectories_of(losses_NT),
        unscorable=np.empty(0, np.int64),
    )


def trajectories_of(losses_NT: np.ndarray) -> Trajectories:
    return Trajectories(None, list(losses_NT.astype(np.float32).T), {}, Path("nowhere"))


def subset_config(preset: str = "released", **settings) -> SubsetConfig:
    return SubsetConfig.model_validate({"preset": preset, **settings})


@pytest.mark.parametrize(("method", "preset"), EVERY_METHOD)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=120), st.integers(1, 12), st.integers(0, 99), st.data())
def test_smaller_budget_is_contained_in_larger(method, preset, sources, num_clusters, seed, data):
    candidates, subset = candidates_of(sources, seed), subset_config(preset, num_clusters=num_clusters)
    budgets = sorted(data.draw(st.lists(st.integers(1, len(candidates.rows)), min_size=2, max_size=5)))
    choices = [METHODS[method].choose(candidates, subset, budget, seed) for budget in budgets]
    for budget, choice in zip(budgets, choices, strict=True):
        assert len(choice.rows) == budget and choice.rows.dtype == np.int64
        assert np.all(np.diff(choice.rows) > 0), "a row twice, or rows out of order"
        assert set(choice.rows) <= set(candidates.rows)
        assert np.array_equal(choice.clusters_N, choices[0].clusters_N), "clusters depend on the budget"
    for smaller, larger in itertools.pairwise(choices):
        assert set(smaller.rows) <= set(larger.rows)


@pytest.mark.parametrize(("method", "preset"), EVERY_METHOD)
def test_the_seed_and_nothing_else_changes_the_choice(method, preset):
    candidates, subset = candidates_of([0, 1, 1, 2] * 60), subset_config(preset, num_clusters=8)
    first, again, other = (METHODS[method].choose(candidates, subset, 60, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.rows, again.rows) and not np.array_equal(first.rows, other.rows)
    assert np.array_equal(first.clusters_N, again.clusters_N)
    assert method != "s2l" or not np.array_equal(first.clusters_N, other.clusters_N)


@pytest.mark.parametrize(("per_source", "baseline"), [(False, "random"), (True, "random_per_source")])
@pytest.mark.parametrize("num_clusters", [1, 1000])
def test_s2l_with_one_cluster_or_one_per_row_is_its_random_baseline(per_source, baseline, num_clusters):
    candidates = candidates_of([0] * 20 + [1] * 5 + [3] * 90)
    subset = subset_config("paper", num_clusters=num_clusters, per_source=per_source)
    for budget in (1, 13, 60, len(candidates.rows)):
        chosen = METHODS["s2l"].choose(candidates, subset, budget, 5).rows
        assert np.array_equal(chosen, METHODS[baseline].choose(candidates, subset, budget, 5).rows)


@pytest.mark.parametrize("preset", PRESETS)
def test_clusters_are_served_evenly(preset):
    """Inside each part that is clustered: who got less than another either has no more, or got just one less."""
    candidates, subset = candidates_of([0] * 200 + [1] * 30 + [2] * 120), subset_config(preset, num_clusters=9)
    choice = METHODS["s2l"].choose(candidates, subset, 100, 0)
    sources = np.zeros(candidates.num_examples, int)
    sources[candidates.rows] = candidates.source_codes_n
    parts = [np.flatnonzero(sources == code) for code in range(3)] if preset == "released" else [candidates.rows]
    seen: set[int] = set()
    for part in parts:
        part = np.intersect1d(part, candidates.rows)
        numbers, sizes = np.unique(choice.clusters_N[part], return_counts=True)
        assert numbers[0] == len(seen) and not seen & set(numbers.tolist()), "cluster numbers are unique over sources"
        seen |= set(numbers.tolist())
        taken = np.array([(choice.clusters_N[choice.rows] == number).sum() for number in numbers])
        large = sizes >= subset.min_cluster_size
        unspent = large & (taken < sizes)
        assert not unspent.any() or taken[unspent].min() >= taken.max() - 1
        assert not unspent.any() or taken[~large].sum() == 0


def test_outliers_come_first_in_algorithm_1_and_last_in_the_released_code():
    losses = np.concatenate([np.linspace(1, 1.1, 60), np.linspace(3, 3.1, 40), [50.0, 50.1]]).astype(np.float32)
    candidates = Candidates(
        np.arange(102), np.zeros(102, np.int32), [""], 102, trajectories_of(losses[:, None]), np.empty(0, np.int64)
    )

    def outliers(preset: str, budget: int) -> int:
        subset = subset_config(preset, num_clusters=3, init="kmeans++", num_restarts=5)
        return int((METHODS["s2l"].choose(candidates, subset, budget, 0).rows >= 100).sum())

    assert [outliers("paper", budget) for budget in (3, 6, 50)] == [1, 2, 2]
    assert [outliers("released", budget) for budget in (6, 100, 101, 102)] == [0, 0, 1, 2]


# The stage, on disk


SOURCES = ["gsm", 'quoted "one"', "new\nline", "emoji 🧮", "gsm", "gsm", "gsm"]


@pytest.fixture
def place(tmp_path: Path, res_dir: Path) -> Path:
    """A folder with a pool of 140 rows from four sources, and losses for it."""
    rows = [
        {"source": SOURCES[row % 7], "instruction": f"Question {row}?", "output": f"Answer {row}.", "extra": row}
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


def config_of(place: Path, run_name: str = "target", seed: int = 0, data: dict | None = None, **subset) -> RunConfig:
    return RunConfig.model_validate(
        {
            "run_name": run_name,
            "seed": seed,
            "data": {"path": str(place / "pool.jsonl"), **(data or {})},
            "subset": {"trajectories_from": str(place / "losses.npy"), "num_clusters": 5, "budget": 60, **subset},
        }
    )


def selected(config: RunConfig, **arguments) -> Subset:
    select(config, **arguments)
    return read_subset(RunPaths(config.run_name).subset)


def write_proxy(place: Path, losses_NT: np.ndarray, steps: list[int], **inputs) -> None:
    """Trajectories of a run named proxy, as our scorer writes them."""
    pool = Pool(config_of(place).data)  # type: ignore[arg-type]
    inputs = {"pool": pool.fingerprint, "num_examples": len(losses_NT), "template": "alpaca", **inputs}
    folder = RunPaths("proxy").trajectories
    weights = {step: f"weights at {step}" for step in steps}
    begin_trajectories(folder, inputs, weights, [], np.ones(len(losses_NT), np.int32))
    for step, losses_N in zip(steps, losses_NT.T, strict=True):
        finish_checkpoint(folder, step, len(losses_N), [(np.arange(len(losses_N)), {"loss": losses_N}, 0.0)])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("method", "preset"), EVERY_METHOD)
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
    for preset in PRESETS:
        subset = selected(config_of(place, preset, preset=preset))
        folder = RunPaths(preset).subset
        composition = json.loads((folder / "composition.json").read_text())
        clusters_N = np.load(folder / "clusters.npy")
        assert clusters_N.dtype == np.int32 and clusters_N.shape == (140,)
        assert set(composition["sources"]) == set(SOURCES)
        assert sum(source["chosen"] for source in composition["sources"].values()) == composition["chosen"] == 60
        sizes, taken = {}, {}
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
        assert subset.manifest["trajectories"] == {"from": "proxy", "steps": [500, 750, 1000]}


def test_step_0_is_used_only_if_it_is_named(place):
    losses_NT = write_losses(place, 140)
    write_proxy(place, losses_NT, [0, 500, 1000])
    np.save(place / "losses.npy", losses_NT[:, 1:])
    expected = selected(config_of(place, "expected")).indices
    assert np.array_equal(selected(config_of(place, "after", trajectories_from="proxy")).indices, expected)
    named = selected(config_of(place, "named", trajectories_from="proxy", steps=[0, 500, 1000]))
    assert named.manifest["trajectories"]["steps"] == [0, 500, 1000]


def test_names_of_sources_do_not_change_what_is_chosen_at_random(place):
    before = selected(config_of(place, "before", method="random_per_source")).indices
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    renamed = {name: f"{9 - number}" for number, name in enumerate(sorted(set(SOURCES)))}  # in the opposite order
    write_jsonl(place / "pool.jsonl", [{**row, "source": renamed[row["source"]]} for row in rows])
    assert np.array_equal(selected(config_of(place, "after", method="random_per_source")).indices, before)


@pytest.mark.parametrize(("method", "preset"), EVERY_METHOD)
def test_rows_without_a_loss_are_never_chosen_nor_clustered_nor_counted(place, method, preset, capsys):
    without = {f"r{row}_{column}": np.nan for row in (0, 1, 139) for column in range(3)}
    write_losses(place, 140, r70_1=np.nan, **without)
    subset = selected(config_of(place, method=method, preset=preset, budget=1.0))
    assert np.array_equal(subset.indices, np.setdiff1d(np.arange(140), [0, 1, 70, 139]))
    clusters_N = np.load(RunPaths("target").subset / "clusters.npy")
    assert np.all(clusters_N[[0, 1, 70, 139]] == -1) and (method != "s2l" or np.all(clusters_N[subset.indices] >= 0))
    assert subset.manifest["unscorable_rows"] == [0, 1, 70, 139] and subset.manifest["num_selectable"] == 136
    remarks = capsys.readouterr().err
    assert "4 rows have no loss (NaN)" in remarks
    assert "1 of those are NaN at some checkpoints only (column 1): rows 70" in remarks


def test_without_trajectories_random_methods_may_choose_every_row(place):
    for method in ("random", "random_per_source"):
        subset = selected(config_of(place, method, method=method, trajectories_from=None, budget=140))
        assert len(subset.indices) == 140 and subset.manifest["inputs"]["trajectories"] is None


def test_dropped_rows_are_never_chosen(place):
    rows = [json.loads(line) for line in (place / "pool.jsonl").read_text().splitlines()]
    rows[3]["output"] = "  "
    write_jsonl(place / "pool.jsonl", rows)
    for method, preset in EVERY_METHOD:
        config = config_of(
            place, f"{method}-{preset}", data={"invalid_rows": "drop"}, method=method, preset=preset, budget=1.0
        )
        subset = selected(config)
        assert 3 not in subset.indices and len(subset.indices) == 139 and subset.manifest["num_excluded"] == 1


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


@pytest.mark.parametrize("preset", PRESETS)
def test_odd_trajectories_are_defined(place, preset):
    for run_name, losses_NT in (("equal", np.ones((140, 3))), ("one_checkpoint", np.arange(140.0)[:, None])):
        np.save(place / "losses.npy", losses_NT)  # float64 is read too
        assert len(selected(config_of(place, f"{run_name}-{preset}", preset=preset)).indices) == 60
    assert len(selected(config_of(place, f"many-{preset}", preset=preset, num_clusters=1000)).indices) == 60
    assert len(selected(config_of(place, f"all-{preset}", preset=preset, budget=140)).indices) == 140
    assert len(selected(config_of(place, f"single-{preset}", preset=preset, budget=1)).indices) == 1


def test_a_fraction_is_of_the_selectable_rows_and_rounded_half_up():
    assert [budget_in_rows(0.5, n) for n in (1, 2, 3, 5)] == [1, 1, 2, 3]
    assert budget_in_rows(1e-9, 10) == 1 and budget_in_rows(1.0, 10) == 10 and budget_in_rows(7, 10) == 7


@pytest.mark.parametrize(
    ("subset", "changes", "words"),
    [
        ({"method": "s3l"}, {}, ["subset.method", "did you mean 's2l'", "random_per_source"]),
        ({"trajectories_from": None}, {}, ["subset.trajectories_from", "run_name of the proxy", ".npy"]),
        ({"budget": 141}, {}, ["subset.budget", "141", "140", "selectable"]),
        ({"budget": 140}, {"r5_0": np.nan}, ["140", "139"]),
        ({}, {"r5_0": np.inf, "r7_2": -np.inf}, ["2 rows have an infinite loss", "rows 5, 7"]),
        ({}, {"r5_0": 1e30}, ["infinite", "rows 5"]),
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
    with pytest.raises(ValueError, match=r"each of 140 rows is NaN somewhere.*column 0: 140, column 1: 140"):
        select(config_of(place))


def test_trajectories_of_another_pool_are_refused(place):
    losses_NT = write_losses(place, 139)
    with pytest.raises(ValueError, match="losses of 139 examples, but the pool .* has 140 rows"):
        select(config_of(place))
    with pytest.raises(FileNotFoundError, match=r"run 'proxy' has no trajectories.*run_distributed_trajectories.py"):
        select(config_of(place, trajectories_from="proxy"))
    write_proxy(place, write_losses(place, 140), [500, 750, 1000])
    select(config_of(place, trajectories_from="proxy"))
    text = (place / "pool.jsonl").read_text()
    (place / "pool.jsonl").write_text(text.replace("Answer 7.", "Answer seven."))
    with pytest.raises(ValueError, match="made from another pool"):
        select(config_of(place, "other", trajectories_from="proxy"))
    assert len(losses_NT) == 139


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
    manifest = RunPaths("proxy").trajectories / "manifest.json"
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
    plan = capsys.readouterr().out
    for words in (
        "140 rows",
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
    assert np.array_equal(resolve_subset(config, Pool(config.data)).indices, chosen.indices)  # type: ignore[arg-type]
    for changed in ({"budget": 61}, {"seed": 3}, {"method": "random"}, {"data": {"limit": 139}}):
        with pytest.raises(ValueError, match="made from other inputs"):
            resolve_subset(config_of(place, **({"trajectories_from": config.subset.trajectories_from} | changed)))  # type: ignore[union-attr]
    (place / "losses.npy").unlink()  # a subset may outlive the losses it was made from
    assert np.array_equal(resolve_subset(config).indices, chosen.indices)
    with pytest.raises(FileNotFoundError):
        resolve_subset(config_of(place, trajectories_from=str(place / "others.npy")))
