"""Weighted shares: nested budgets, in proportion to weights, with what is spent handed on."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.methods.test_methods import (
    candidates_of,
    groups_of,
    sizes_lists,
    subset_config,
    trajectories_of,
)
from utils.config.names import SelectionMethod
from utils.config.schema import RunConfig
from utils.selection.methods.table import METHODS
from utils.selection.methods.turns import source_weights, take_turns
from utils.selection.plan import plan_selection


def quotas_of(sizes: list[int], weights: list[int], budget: int) -> list[int]:
    groups, keys = groups_of(sizes)
    order = take_turns(groups, keys, budget, weight_G=np.array(weights, np.float64))
    return [int(np.isin(order, groups[number]).sum()) for number in range(len(sizes))]


def water_fill(sizes: list[int], weights: list[int], budget: int) -> list[Fraction]:
    """In whole shares of any size: by weight, groups that are spent left out, as often as one is."""
    left = Fraction(budget)
    quotas = [Fraction(0)] * len(sizes)
    open_groups = set(range(len(sizes)))
    while open_groups:
        total = sum(weights[group] for group in open_groups)
        spent = {group for group in open_groups if weights[group] * left >= sizes[group] * total}
        if not spent:
            for group in open_groups:
                quotas[group] = left * weights[group] / total
            break
        for group in spent:
            quotas[group] = Fraction(sizes[group])
        left -= sum(sizes[group] for group in spent)
        open_groups -= spent
    return quotas


weighted = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=8)


@given(weighted, st.integers(0, 320))
def test_the_first_rows_are_the_weighted_water_filling(groups, budget):
    sizes, weights = map(list, zip(*groups, strict=True))
    budget = min(budget, sum(sizes))
    quotas = quotas_of(sizes, weights, budget)
    assert sum(quotas) == budget
    shares = water_fill(sizes, weights, budget)
    for quota, share, size in zip(quotas, shares, sizes, strict=True):
        assert abs(quota - share) <= Fraction(len(sizes), 2) and quota <= size
    # Sainte-Lague, the textbook's way: seat after seat to the group with the most weight for it.
    by_hand = [0] * len(sizes)
    for _ in range(budget):
        open_groups = [group for group in range(len(sizes)) if by_hand[group] < sizes[group]]
        best = max(Fraction(weights[group], 2 * by_hand[group] + 1) for group in open_groups)
        tied = [g for g in open_groups if Fraction(weights[g], 2 * by_hand[g] + 1) == best]
        by_hand[max(tied, key=lambda g: (sizes[g], quotas[g] > by_hand[g]))] += 1
    assert by_hand == quotas


@given(sizes_lists, st.integers(0, 500), st.integers(0, 99))
def test_equal_weights_are_even_turns(sizes, budget, seed):
    groups, keys = groups_of(sizes, seed)
    tier = np.arange(len(sizes)) % 2
    even = take_turns(groups, keys, budget, tier)
    assert np.array_equal(take_turns(groups, keys, budget, tier, np.full(len(sizes), 3.0)), even)


SOURCES = [0] * 400 + [1] * 100 + [2] * 25


def taken_of_sources(method: SelectionMethod, budget: int, **settings_of) -> list[int]:
    candidates = candidates_of(SOURCES)
    subset = subset_config(num_clusters=4, **settings_of)
    rows = METHODS[method].choose(candidates, subset, budget, 0).rows
    return np.bincount(np.array(SOURCES)[rows], minlength=3).tolist()


@pytest.mark.parametrize("method", ["s2l", "random_per_source"])
def test_shares_go_from_even_to_proportional(method):
    assert taken_of_sources(method, 42) == [14, 14, 14]
    assert taken_of_sources(method, 42, source_exponent=0.5) == [24, 12, 6]
    assert taken_of_sources(method, 42, source_exponent=1.0) == [32, 8, 2]
    assert taken_of_sources(method, 120, source_exponent=0.0) == [50, 49, 21], "the third source is spent"


@pytest.mark.parametrize("method", ["s2l", "random_per_source"])
@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=120),
    st.sampled_from([0.3, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.data(),
)
def test_smaller_budget_is_contained_in_larger(method, sources, source_exponent, cluster_exponent, data):
    candidates = candidates_of(sources)
    subset = subset_config(num_clusters=3, source_exponent=source_exponent, cluster_exponent=cluster_exponent)
    budgets = sorted(data.draw(st.lists(st.integers(1, len(candidates.rows)), min_size=2, max_size=4)))
    choices = [METHODS[method].choose(candidates, subset, budget, 1).rows for budget in budgets]
    for budget, rows in zip(budgets, choices, strict=True):
        assert len(rows) == budget == len(set(rows.tolist()))
    for smaller, larger in itertools.pairwise(choices):
        assert set(smaller.tolist()) <= set(larger.tolist())


def test_a_cluster_may_give_in_proportion_to_its_rows():
    candidates = candidates_of([0] * 700)
    for exponent, spread in {0.0: 1, 1.0: None}.items():
        subset = subset_config("paper", num_clusters=5, cluster_exponent=exponent)
        choice = METHODS["s2l"].choose(candidates, subset, 60, 0)
        sizes = np.bincount(choice.clusters_N[candidates.rows])
        taken = np.bincount(choice.clusters_N[choice.rows], minlength=len(sizes))
        if spread is not None:
            assert taken[taken < sizes].max() - taken[taken < sizes].min() <= spread
        else:
            assert np.abs(taken - 60 * sizes / sizes.sum()).max() <= 1


def test_a_source_may_weigh_what_its_losses_fall():
    candidates = candidates_of(SOURCES, num_checkpoints=2)
    fall_S = np.array([1.0, 4.0, -1.0])
    losses_NT = np.column_stack([np.full(len(SOURCES), 5.0), 5 - fall_S[SOURCES]])
    candidates = replace(candidates, trajectories=trajectories_of(losses_NT))
    subset = subset_config(source_exponent=0.5, source_weight="fall")
    weights = source_weights(candidates, subset)
    assert weights is not None and weights.tolist() == pytest.approx([1, 2, 0.001**0.5])
    rows = METHODS["random_per_source"].choose(candidates, subset, 60, 0).rows
    assert np.bincount(np.array(SOURCES)[rows], minlength=3).tolist() == [20, 39, 1]


@pytest.mark.parametrize("method", ["s2l", "random_per_source", "prune_then_select"])
def test_losses_of_one_checkpoint_do_not_fall(tmp_path, res_dir, method):
    np.save(tmp_path / "losses.npy", np.random.default_rng(0).gamma(2, 1, (60, 1)).astype(np.float32))
    subset = {"method": method, "trajectories_from": str(tmp_path / "losses.npy"), "budget": 9}
    subset |= {"preset": "fall"} if method != "random_per_source" else {}
    subset |= {"source_exponent": 1, "source_weight": "fall"} if method == "random_per_source" else {}
    config = RunConfig.model_validate({"run_name": "x", "subset": subset})
    with pytest.raises(ValueError, match="expected at least [23]"):
        plan_selection(config)
