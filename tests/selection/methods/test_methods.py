"""What methods choose follows from their inputs alone: exact and even budgets, nested subsets.

Needs neither a disk nor a model.

Legend: N examples of the pool, T checkpoints.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SEEDED_METHODS
from utils.artifacts.trajectories.read import Trajectories
from utils.config.schema import _PRESETS_ARE_OF, SELECTION_PRESETS, SubsetConfig
from utils.selection.candidates import Candidates
from utils.selection.groups import Groups
from utils.selection.methods.random_order import (
    in_key_order,
    put_in_key_order,
    random_keys,
    sample_positions,
)
from utils.selection.methods.table import METHODS
from utils.selection.methods.turns import take_turns


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
    return Trajectories(None, list(losses_NT.astype(np.float32).T), None, Path("nowhere"))


def subset_config(preset: str = "released", **settings) -> SubsetConfig:
    return SubsetConfig.model_validate({"preset": preset, **settings})


# Water-filling: Algorithm 1 as it is printed, one budget at a time, is what taking turns is compared with


def water_fill(sizes: list[int], budget: int) -> list[int]:
    """Clusters ascending by size; the k-th of K gives min(its size, what is left // (K - k + 1))."""
    quotas = [0] * len(sizes)
    left = budget
    ascending = sorted(range(len(sizes)), key=sizes.__getitem__)
    for place, group in enumerate(ascending):
        quotas[group] = min(sizes[group], left // (len(sizes) - place))
        left -= quotas[group]
    return quotas


def groups_of(sizes: list[int], seed: int = 0) -> tuple[Groups, np.ndarray]:
    """Groups of these sizes, each in the random order of its keys; the keys."""
    keys = random_keys(seed, sum(sizes))
    groups = Groups(np.arange(sum(sizes)), np.cumsum([0, *sizes]))
    put_in_key_order(groups, keys)
    return groups, keys


def order_of(sizes: list[int], min_size: int = 1, seed: int = 0) -> np.ndarray:
    """All positions of groups of these sizes in turn, those of small groups after all others."""
    groups, keys = groups_of(sizes, seed)
    return take_turns(groups, keys, sum(sizes), (groups.sizes < min_size).astype(int))


def quotas_of(order: np.ndarray, sizes: list[int], budget: int) -> list[int]:
    groups, _ = groups_of(sizes)
    return [int(np.isin(order[:budget], groups[number]).sum()) for number in range(len(sizes))]


sizes_lists = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 22))
def test_taking_turns_is_the_most_even_way_to_spend_the_budget(sizes, budget):
    spent = min(budget, sum(sizes))
    every_way = itertools.product(*(range(size + 1) for size in sizes))
    most_even = max(sorted(quotas) for quotas in every_way if sum(quotas) == spent)
    assert sorted(quotas_of(order_of(sizes), sizes, budget)) == most_even


@given(sizes_lists, st.integers(0, 500), st.integers(0, 99))
def test_the_first_rows_in_turn_are_those_of_algorithm_1(sizes, budget, seed):
    groups, _ = groups_of(sizes, seed)
    order = order_of(sizes, seed=seed)
    assert sorted(order.tolist()) == list(range(sum(sizes)))
    quotas = quotas_of(order, sizes, budget)
    by_rule = water_fill(sizes, min(budget, sum(sizes)))
    assert sorted(zip(sizes, quotas, strict=True)) == sorted(zip(sizes, by_rule, strict=True)), "ties aside"
    for number, quota in enumerate(quotas):
        group = groups[number]
        assert set(group[:quota].tolist()) == set(order[:budget].tolist()) & set(group.tolist()), (
            "in the group's order"
        )


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.data())
def test_turns_are_taken_in_the_order_that_the_definition_sorts_into(sizes, data):
    seed = data.draw(st.integers(0, 99))
    budget = data.draw(st.integers(0, sum(sizes)))
    tier = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(sizes), max_size=len(sizes))))
    groups, keys = groups_of(sizes, seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    size = np.array(sizes)
    lowest = np.array([keys[groups[number]].min(initial=2**64 - 1) for number in range(len(sizes))])
    by_turn = np.lexsort((lowest[group], -size[group], place, tier[group]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.selection.groups._PIECE", data.draw(st.sampled_from([1, 7, 2**16])))
        order = take_turns(groups, keys, budget, tier)
    assert np.array_equal(order, groups.position_n[by_turn][:budget])


def test_water_filling_follows_the_rule_of_algorithm_1():
    sizes = [1, 1, 2, 5, 10, 50, 100]
    assert quotas_of(order_of(sizes), sizes, 40) == [1, 1, 2, 5, 10, 10, 11]
    assert quotas_of(order_of([100, 5, 5]), [100, 5, 5], 20) == [10, 5, 5]


@given(sizes_lists, st.integers(1, 6), st.integers(0, 500))
def test_small_groups_get_nothing_until_the_others_are_spent(sizes, min_size, budget):
    quotas = quotas_of(order_of(sizes, min_size), sizes, budget)
    assert sum(quotas) == min(budget, sum(sizes))
    small_taken = sum(quota for quota, size in zip(quotas, sizes, strict=True) if size < min_size)
    others_left = sum(size - quota for quota, size in zip(quotas, sizes, strict=True) if size >= min_size)
    assert small_taken == 0 or others_left == 0


@given(sizes_lists, st.integers(0, 99), st.randoms())
def test_the_order_in_which_groups_are_listed_does_not_matter(sizes, seed, shuffler):
    groups, keys = groups_of(sizes, seed)
    listed = list(range(len(sizes)))
    shuffler.shuffle(listed)
    shuffled = Groups(
        np.concatenate([groups[number] for number in listed]),
        np.cumsum([0, *(sizes[number] for number in listed)]),
    )
    order = take_turns(groups, keys, sum(sizes))
    assert np.array_equal(take_turns(shuffled, keys, sum(sizes)), order)


# The seeded random order


def test_every_row_is_as_likely_as_any_other():
    num_seeds = 2000
    num_rows = 10
    quota = 3
    counts = np.zeros(num_rows, int)
    for seed in range(num_seeds):
        counts[in_key_order(np.arange(num_rows), random_keys(seed, num_rows))[:quota]] += 1
    # Binomial(2000, 0.3): mean 600, standard deviation 20.5; five of them.
    assert np.all(np.abs(counts - num_seeds * quota / num_rows) < 103), counts


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_groups_of_one_row_each_are_served_like_a_single_group(num_rows, seed):
    keys = random_keys(seed, num_rows)
    singles = Groups(np.arange(num_rows), np.arange(num_rows + 1))
    whole = in_key_order(np.arange(num_rows), keys)
    assert np.array_equal(take_turns(singles, keys, num_rows), whole)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 99), st.integers(1, 60))
def test_groups_are_ordered_together_as_each_by_itself(sizes, seed, rows_together):
    keys = random_keys(seed, sum(sizes))
    # Keys that agree in their high bits, as some of a hundred million rows do.
    keys = (keys & np.uint64(3 << 62)) | np.random.default_rng(seed).permutation(sum(sizes)).astype(np.uint64)
    groups = Groups(np.arange(sum(sizes)), np.cumsum([0, *sizes]))
    each = [in_key_order(groups[number].copy(), keys) for number in range(len(sizes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.selection.groups._ROWS_TOGETHER", rows_together)
        put_in_key_order(groups, keys)
    assert np.array_equal(groups.position_n, np.concatenate(each))


@given(st.integers(1, 300), st.integers(0, 99), st.data())
def test_a_sample_has_no_row_twice(num_rows, seed, data):
    size = data.draw(st.integers(1, num_rows))
    sample = sample_positions(num_rows, size, seed)
    assert len(sample) == size and np.all(np.diff(sample) > 0) and sample[0] >= 0 and sample[-1] < num_rows
    assert np.array_equal(sample, sample_positions(num_rows, size, seed))


# Planted clusters: where the answer is known


def planted(seed: int, num_clusters: int = 20, num_checkpoints: int = 6) -> tuple[Candidates, np.ndarray]:
    """Candidates and their clusters, of sizes 1 : 50, with centres 20 deviations of the noise apart."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(8, 400, num_clusters).astype(int)
    cluster_N = rng.permutation(np.repeat(np.arange(num_clusters), sizes))
    centres_KT = 20 * rng.permutation(np.arange(num_clusters))[:, None] + rng.uniform(
        0, 5, (num_clusters, num_checkpoints)
    )
    distances = np.linalg.norm(centres_KT[:, None] - centres_KT, axis=2)
    assert distances[~np.eye(num_clusters, dtype=bool)].min() >= 20
    losses_NT = centres_KT[cluster_N] + rng.normal(0, 1, (len(cluster_N), num_checkpoints))
    rows = np.arange(len(cluster_N))
    num_rows = len(cluster_N)
    trajectories = trajectories_of(losses_NT)
    return Candidates(
        rows, np.zeros(num_rows, np.int32), [""], num_rows, trajectories, np.empty(0, int)
    ), cluster_N


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


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=300))
def test_groups_hold_ascending_positions(numbers):
    group_n = np.array(numbers, np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.selection.groups._SORTED_AT_ONCE", 17)
        patch.setattr("utils.selection.groups._ROWS_AT_ONCE", 13)
        groups = Groups.by_number(group_n, max(numbers) + 1)
    for number in range(len(groups)):
        assert groups[number].tolist() == np.flatnonzero(group_n == number).tolist()


# Methods that take rows in a seeded random order


@pytest.mark.parametrize(("method", "preset"), SEEDED_METHODS)
@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=120), st.integers(1, 12), st.integers(0, 99), st.data()
)
def test_smaller_budget_is_contained_in_larger(method, preset, sources, num_clusters, seed, data):
    candidates = candidates_of(sources, seed)
    subset = subset_config(preset, num_clusters=num_clusters)
    budgets = sorted(data.draw(st.lists(st.integers(1, len(candidates.rows)), min_size=2, max_size=5)))
    choices = [METHODS[method].choose(candidates, subset, budget, seed) for budget in budgets]
    for budget, choice in zip(budgets, choices, strict=True):
        assert len(choice.rows) == budget and choice.rows.dtype == np.int64
        assert np.all(np.diff(choice.rows) > 0), "a row twice, or rows out of order"
        assert set(choice.rows) <= set(candidates.rows)
        assert np.array_equal(choice.clusters_N, choices[0].clusters_N), "clusters depend on the budget"
    for smaller, larger in itertools.pairwise(choices):
        assert set(smaller.rows) <= set(larger.rows)


@pytest.mark.parametrize(("method", "preset"), SEEDED_METHODS)
def test_the_seed_and_nothing_else_changes_the_choice(method, preset):
    candidates = candidates_of([0, 1, 1, 2] * 60)
    subset = subset_config(preset, num_clusters=8)
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


def test_presets_are_of_the_methods_that_cluster():
    assert {name for name, method in METHODS.items() if "per_source" in method.settings} == set(
        _PRESETS_ARE_OF
    )


@pytest.mark.parametrize("preset", SELECTION_PRESETS)
def test_clusters_are_served_evenly(preset):
    """Within each clustered part a cluster that got less than another has no more rows, or got one less."""
    candidates = candidates_of([0] * 200 + [1] * 30 + [2] * 120)
    subset = subset_config(preset, num_clusters=9)
    choice = METHODS["s2l"].choose(candidates, subset, 100, 0)
    sources = np.zeros(candidates.num_examples, int)
    sources[candidates.rows] = candidates.source_codes_n
    parts = [np.flatnonzero(sources == code) for code in range(3)] if subset.per_source else [candidates.rows]
    seen: set[int] = set()
    for part in parts:
        part = np.intersect1d(part, candidates.rows)
        numbers, sizes = np.unique(choice.clusters_N[part], return_counts=True)
        assert numbers[0] == len(seen) and not seen & set(numbers.tolist()), (
            "cluster numbers are unique over sources"
        )
        seen |= set(numbers.tolist())
        taken = np.array([(choice.clusters_N[choice.rows] == number).sum() for number in numbers])
        large = sizes >= subset.min_cluster_size
        unspent = large & (taken < sizes)
        assert not unspent.any() or taken[unspent].min() >= taken.max() - 1
        assert not unspent.any() or taken[~large].sum() == 0


def test_outliers_come_first_in_algorithm_1_and_last_in_the_released_code():
    losses = np.concatenate([np.linspace(1, 1.1, 60), np.linspace(3, 3.1, 40), [50.0, 50.1]]).astype(
        np.float32
    )
    candidates = Candidates(
        np.arange(102),
        np.zeros(102, np.int32),
        [""],
        102,
        trajectories_of(losses[:, None]),
        np.empty(0, np.int64),
    )

    def outliers(preset: str, budget: int) -> int:
        subset = subset_config(preset, num_clusters=3, init="kmeans++", num_restarts=5)
        return int((METHODS["s2l"].choose(candidates, subset, budget, 0).rows >= 100).sum())

    assert [outliers("paper", budget) for budget in (3, 6, 50)] == [1, 2, 2]
    assert [outliers("released", budget) for budget in (6, 100, 101, 102)] == [0, 0, 1, 2]
