"""k-means finds what is there, gives each row one cluster, and leaves the process as it was."""

import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from utils.artifacts.trajectories.read import Trajectories
from utils.config.names import KMeansInit
from utils.config.schema import SubsetConfig
from utils.selection.candidates import Candidates
from utils.selection.methods.kmeans import KMeansSettings, cluster_rows
from utils.selection.methods.table import METHODS

SIMD_LEVEL_AT_START = faiss.SIMDConfig.get_level()


def cluster(
    losses,
    num_clusters,
    seed=0,
    init: KMeansInit = "random",
    num_restarts=1,
    max_points_per_centroid=None,
    iterations=20,
):
    losses = np.asarray(losses, np.float32)
    settings = KMeansSettings(num_clusters, max_points_per_centroid, iterations, init, num_restarts)
    found, centroids = cluster_rows(losses.__getitem__, len(losses), settings, seed)
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
        return sum(
            ((losses[found == k] - losses[found == k].mean(0)) ** 2).sum() for k in set(found.tolist())
        )

    assert spread(num_restarts=20) < spread(num_restarts=1)


def test_a_subset_is_identified_by_all_that_its_clusters_depend_on():
    recorded = METHODS["s2l"].settings
    assert {field.name for field in fields(KMeansSettings)} <= set(recorded)
    assert set(METHODS["prune_then_select"].settings) >= set(recorded) - {"features"}


def test_global_state_is_left_as_it_was(monkeypatch):
    trajectories = Trajectories(
        None, list(np.random.default_rng(0).random((4, 50), np.float32)), None, Path("nowhere")
    )
    candidates = Candidates(np.arange(50), np.zeros(50, np.int32), [""], 50, trajectories, np.empty(0, int))
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 12_345)
    before = [str(np.random.get_state(legacy=False)), random.getstate(), faiss.omp_get_max_threads()]
    for init in ("random", "kmeans++"):
        cluster(np.random.default_rng(3).random((400, 4)), 8, init=init)
    with pytest.raises(AssertionError):
        cluster(np.random.default_rng(3).random((400, 4)), 0)
    METHODS["s2l"].choose(candidates, SubsetConfig.model_validate({"num_clusters": 4}), 10, 0)
    assert [str(np.random.get_state(legacy=False)), random.getstate(), faiss.omp_get_max_threads()] == before
    assert faiss.cvar.distance_compute_blas_threshold == 12_345
    assert faiss.SIMDConfig.get_level() == SIMD_LEVEL_AT_START
