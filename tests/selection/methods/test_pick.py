"""Which rows of a cluster come first: as the definitions sort them, whatever the budget.

Legend: N examples of the pool, n candidates, T checkpoints.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.methods.test_methods import candidates_of, subset_config, trajectories_of
from utils.selection.candidates import Candidates
from utils.selection.methods.pick import PICKS, pick_keys
from utils.selection.methods.table import METHODS, check_num_checkpoints


def scores_of(losses_nT: np.ndarray, pick: str) -> list[float]:
    """One row after the other, by the definitions."""
    if pick == "stable":
        return [sum(abs(b - a) for a, b in itertools.pairwise(map(float, row))) for row in losses_nT]
    return [-abs(float(row[-1]) - float(row[0])) for row in losses_nT]


def wide_apart(num_rows: int, seed: int, num_sources: int = 3) -> Candidates:
    """Losses in steps that float32 sums hold exactly, with many ties."""
    rng = np.random.default_rng(seed)
    candidates = candidates_of([*rng.integers(0, num_sources, num_rows).tolist(), num_sources - 1])
    losses_NT = rng.integers(0, 9, (num_rows + 1, 5)) / 4
    return replace(candidates, trajectories=trajectories_of(losses_NT))


@pytest.mark.parametrize("pick", ["stable", "brittle"])
@settings(max_examples=25)
@given(st.integers(2, 150), st.integers(1, 9), st.integers(0, 99))
def test_the_rows_of_each_cluster_are_the_first_by_the_definition(pick, num_rows, num_clusters, seed):
    candidates = wide_apart(num_rows, seed)
    subset = subset_config("paper", num_clusters=num_clusters, pick=pick)
    budget = max(1, len(candidates.rows) // 3)
    choice = METHODS["s2l"].choose(candidates, subset, budget, seed)
    cluster_n = choice.clusters_N[candidates.rows]
    scores = scores_of(candidates.read_losses(slice(None)), pick)
    for cluster in range(cluster_n.max() + 1):
        members = np.flatnonzero(cluster_n == cluster).tolist()
        by_definition = sorted(members, key=lambda place: (scores[place], place))
        taken = np.flatnonzero(np.isin(candidates.rows, choice.rows) & (cluster_n == cluster))
        assert sorted(by_definition[: len(taken)]) == taken.tolist()


@pytest.mark.parametrize("pick", PICKS)
@settings(max_examples=25)
@given(st.integers(2, 150), st.integers(0, 99), st.data())
def test_a_smaller_budget_is_contained_in_a_larger_and_rows_that_must_be_in_come_first(
    pick, num_rows, seed, data
):
    candidates = wide_apart(num_rows, seed)
    included = data.draw(st.lists(st.sampled_from(candidates.rows.tolist()), max_size=4, unique=True))
    candidates = replace(candidates, included=np.sort(np.array(included, np.int64)))
    subset = subset_config(num_clusters=4, pick=pick)
    whole = METHODS["s2l"].choose(candidates, subset, len(candidates.rows), seed)
    assert sorted(whole.order.tolist()) == candidates.rows.tolist()
    for budget in data.draw(st.lists(st.integers(1, len(candidates.rows)), max_size=3)):
        choice = METHODS["s2l"].choose(candidates, subset, budget, seed)
        assert np.array_equal(choice.order, whole.order[:budget])
    key_n = pick_keys(candidates, subset, seed)
    first = candidates.rows[np.argsort(key_n, kind="stable")[: len(included)]]
    assert set(first.tolist()) == set(included)


def test_clusters_and_their_quotas_are_the_same_whatever_the_pick():
    candidates = wide_apart(200, 1)
    counts = []
    for pick in PICKS:
        choice = METHODS["s2l"].choose(candidates, subset_config(num_clusters=5, pick=pick), 50, 0)
        counts.append((choice.clusters_N.tolist(), np.bincount(choice.clusters_N[choice.rows]).tolist()))
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("pick", ["stable", "brittle"])
@pytest.mark.parametrize("method", ["s2l", "prune_then_select"])
def test_one_checkpoint_says_nothing_of_how_a_loss_moves(method, pick):
    with pytest.raises(ValueError, match="expected at least 2, between which a loss can move"):
        check_num_checkpoints(1, subset_config(method=method, pick=pick))
