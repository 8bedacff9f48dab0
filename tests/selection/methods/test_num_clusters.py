"""`num_clusters: auto` finds what was planted and nothing in noise, the same each time."""

from dataclasses import replace

import numpy as np
import pytest

from tests.selection.methods.test_methods import candidates_of, planted, subset_config, trajectories_of
from utils.selection.methods.kmeans import KMeansSettings
from utils.selection.methods.num_clusters import TRIED_NUMBERS, most_clusters, most_that_agree, most_tried
from utils.selection.methods.table import METHODS

THOROUGH = KMeansSettings(1, 256, 20, "kmeans++", 10)
AUTO = {"num_clusters": "auto", "init": "kmeans++", "num_restarts": 10}


def most_of(losses_nT: np.ndarray, settings: KMeansSettings = THOROUGH, seed: int = 0) -> int:
    return most_that_agree(lambda piece: losses_nT[piece], len(losses_nT), settings, seed)


def groups_of(num_groups: int, num_rows: int, seed: int = 0) -> np.ndarray:
    """Rows about centres that lie far apart, as many about each."""
    rng = np.random.default_rng(seed)
    centres = 20.0 * rng.permutation(num_groups)[:, None] + rng.uniform(0, 5, (num_groups, 4))
    return (centres[np.arange(num_rows) % num_groups] + rng.normal(0, 0.5, (num_rows, 4))).astype(np.float32)


@pytest.mark.parametrize("num_groups", [2, 4, 12])
def test_as_many_clusters_as_were_planted(num_groups):
    assert most_of(groups_of(num_groups, 600)) == num_groups


def test_one_random_start_finds_fewer():
    hasty = KMeansSettings(1, 256, 20, "random", 1)
    assert most_of(groups_of(12, 600), hasty) < 12


def test_of_clusters_of_uneven_sizes_no_more_than_the_next_number_tried():
    losses_nT = planted(0)[0].read_losses(slice(None))
    assert most_of(losses_nT) in (16, 24), "20 were planted"


def test_noise_is_one_cluster():
    assert most_of(np.random.default_rng(0).normal(3, 1, (1500, 6)).astype(np.float32)) == 1


def test_few_rows_are_one_cluster_and_equal_rows_never_fail():
    assert [most_tried(size) for size in (1, 19, 20, 959, 960, 10**8)] == [1, 1, 2, 64, 96, 96]
    assert most_of(groups_of(4, 19)) == 1
    assert most_of(np.ones((50, 3), np.float32)) in TRIED_NUMBERS


def test_the_number_is_the_same_each_time_and_of_a_sample_of_many_rows(monkeypatch):
    losses_nT = groups_of(6, 3000)
    assert most_of(losses_nT, seed=3) == most_of(losses_nT, seed=3) == 6
    monkeypatch.setattr("utils.selection.methods.num_clusters._MOST_ROWS", 400)
    assert most_of(losses_nT) == 6


@pytest.mark.parametrize("per_source", [True, False])
def test_each_source_has_its_own_number_and_budgets_are_nested(per_source):
    sources = [0] * 350 + [1] * 350 + [2] * 8
    candidates = candidates_of(sources)
    losses_NT = np.concatenate([groups_of(4, 350), groups_of(12, 350, 1), np.ones((8, 4), np.float32)])
    candidates = replace(candidates, trajectories=trajectories_of(losses_NT))
    subset = subset_config(**AUTO, per_source=per_source)
    whole = METHODS["s2l"].choose(candidates, subset, len(candidates.rows), 0)
    if per_source:
        numbers = [
            len(set(whole.clusters_N[candidates.rows][candidates.source_codes_n == code].tolist()))
            for code in range(3)
        ]
        assert numbers[0] in (4, 6) and numbers[1] in (12, 16) and numbers[2] == 1, "4 and 12 planted"
    assert whole.clusters_N.max() < most_clusters(subset, candidates)
    for budget in (5, 100):
        again = METHODS["s2l"].choose(candidates, subset, budget, 0)
        assert np.array_equal(again.order, whole.order[:budget])
        assert np.array_equal(again.clusters_N, whole.clusters_N)
