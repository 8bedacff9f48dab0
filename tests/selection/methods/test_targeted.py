"""CLD and TACS choose what their definitions rank first, one row after the other.

Legend: N examples of the pool, n candidates, S sources, T checkpoints.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.methods.test_methods import candidates_of, subset_config, trajectories_of
from utils.selection.candidates import Candidates
from utils.selection.methods.table import METHODS, check_num_checkpoints
from utils.selection.methods.targeted import correlation_with_validation


def targeted_candidates(num_rows: int, seed: int, num_checkpoints: int = 5) -> Candidates:
    rng = np.random.default_rng(seed)
    candidates = candidates_of([*rng.integers(0, 3, num_rows - 1).tolist(), 2], seed, num_checkpoints)
    return replace(candidates, validation_ST=rng.gamma(2, 1, (3, num_checkpoints)))


def pearson(first: list[float], second: list[float]) -> float:
    means = [sum(numbers) / len(numbers) for numbers in (first, second)]
    offsets = [[x - mean for x in numbers] for numbers, mean in zip((first, second), means, strict=True)]
    together = sum(a * b for a, b in zip(*offsets, strict=True))
    spread = [sum(a * a for a in numbers) for numbers in offsets]
    return together / (spread[0] * spread[1]) ** 0.5


def scores_by_hand(candidates: Candidates) -> list[float]:
    assert candidates.validation_ST is not None
    scores = []
    for source, losses_T in zip(candidates.source_codes_n, candidates.read_losses(slice(None)), strict=True):
        changes = [float(b) - float(a) for a, b in itertools.pairwise(losses_T)]
        aim = [float(b - a) for a, b in itertools.pairwise(candidates.validation_ST[source])]
        scores.append(pearson(changes, aim))
    return scores


@settings(max_examples=25)
@given(st.integers(3, 120), st.integers(0, 99), st.integers(1, 40))
def test_cld_takes_of_each_source_the_rows_that_correlate_most(num_rows, seed, budget):
    candidates = targeted_candidates(num_rows, seed)
    budget = min(budget, len(candidates.rows))
    scores = scores_by_hand(candidates)
    np.testing.assert_allclose(correlation_with_validation(candidates), scores, atol=1e-9)
    rows = METHODS["cld"].choose(candidates, subset_config(), budget, seed).rows
    balanced = METHODS["random_per_source"].choose(candidates, subset_config(), budget, seed).rows
    codes_N = np.full(candidates.num_examples, -1)
    codes_N[candidates.rows] = candidates.source_codes_n
    for source in range(3):
        of_source = np.flatnonzero(candidates.source_codes_n == source).tolist()
        quota = int((codes_N[balanced] == source).sum())
        best = sorted(of_source, key=lambda place: (-scores[place], place))[:quota]
        assert sorted(candidates.rows[best].tolist()) == rows[codes_N[rows] == source].tolist()


@settings(max_examples=15)
@given(st.integers(3, 120), st.integers(0, 99), st.data())
def test_a_smaller_budget_is_contained_in_a_larger(num_rows, seed, data):
    candidates = targeted_candidates(num_rows, seed)
    budgets = sorted(data.draw(st.lists(st.integers(1, len(candidates.rows)), min_size=2, max_size=4)))
    subset = subset_config(source_exponent=data.draw(st.sampled_from([0.0, 0.5])))
    choices = [METHODS["cld"].choose(candidates, subset, budget, 0) for budget in budgets]
    for smaller, larger in itertools.pairwise(choices):
        assert np.array_equal(smaller.order, larger.order[: len(smaller.order)])


def test_rows_that_change_evenly_correlate_with_nothing_and_ties_go_to_the_lowest_row():
    losses_NT = np.array([[4, 3, 2, 1], [2, 2, 2, 2], [4.1, 3.1, 2.1, 1.1], [5, 3, 2, 1.5], [4, 4, 3, 1]])
    candidates = Candidates(
        np.arange(5), np.zeros(5, np.int32), [""], 5, trajectories_of(losses_NT), np.empty(0, int)
    )
    candidates = replace(candidates, validation_ST=np.array([[4.0, 2, 1, 0.5]]))
    scores = correlation_with_validation(candidates)
    assert scores[:3].tolist() == [0, 0, 0] and scores[3] == pytest.approx(1) and scores[4] < 0
    assert METHODS["cld"].choose(candidates, subset_config(), 4, 0).order.tolist() == [3, 0, 1, 2]
    still = replace(candidates, validation_ST=np.full((1, 4), 2.0))
    assert METHODS["cld"].choose(still, subset_config(), 5, 0).order.tolist() == [0, 1, 2, 3, 4]


def test_three_checkpoints_are_two_changes_which_correlate_at_1_or_minus_1():
    with pytest.raises(ValueError, match="found 3 checkpoints, expected at least 4"):
        check_num_checkpoints(3, subset_config(method="cld"))
