"""Clusters of a GPU are those of the CPU, up to rows that lie between two centroids."""

import dataclasses

import numpy as np
import pytest

from utils.selection.methods import kmeans
from utils.selection.methods.kmeans import KMeansSettings, cluster_rows, nearest_centroids

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(kmeans.num_gpus() == 0, reason="needs faiss-gpu in place of faiss-cpu"),
]
SETTINGS = KMeansSettings(
    num_clusters=100, max_points_per_centroid=256, iterations=20, init="random", num_restarts=1
)


def trajectories(num_rows: int, num_checkpoints: int) -> np.ndarray:
    """Losses that fall, as a training's do, around as many means as there are clusters to find."""
    random = np.random.default_rng(0)
    means = random.gamma(2.0, 0.7, (100, 1)) * np.linspace(1, 0.4, num_checkpoints)
    return (
        means[random.integers(0, 100, num_rows)] + random.normal(0, 0.05, (num_rows, num_checkpoints))
    ).astype(np.float32)


def squared_distance(rows_nT: np.ndarray, centroids_KT: np.ndarray, label_n: np.ndarray) -> float:
    return float(np.square(rows_nT.astype(np.float64) - centroids_KT[label_n]).sum())


@pytest.mark.parametrize("init", ["random", "kmeans++"])
@pytest.mark.parametrize(("num_rows", "num_checkpoints"), [(5_000, 3), (50_000, 12), (20_000, 64)])
def test_clusters_are_those_of_the_cpu(monkeypatch, num_rows, num_checkpoints, init):
    rows_nT = trajectories(num_rows, num_checkpoints)
    settings = dataclasses.replace(SETTINGS, init=init)
    label_n, centroids_KT = cluster_rows(rows_nT.__getitem__, num_rows, settings, seed=1)
    again_n, _ = cluster_rows(rows_nT.__getitem__, num_rows, settings, seed=1)
    np.testing.assert_array_equal(label_n, again_n, "the same GPU gives the same clusters")
    monkeypatch.setattr(kmeans, "num_gpus", lambda: 0)
    expected_n, expected_KT = cluster_rows(rows_nT.__getitem__, num_rows, settings, seed=1)
    found = squared_distance(rows_nT, centroids_KT, label_n)
    assert abs(found / squared_distance(rows_nT, expected_KT, expected_n) - 1) < 0.02
    nearest_n, _ = nearest_centroids(rows_nT.__getitem__, num_rows, centroids_KT)
    assert found <= squared_distance(rows_nT, centroids_KT, nearest_n) * (1 + 1e-4)


def test_the_nearest_of_equal_centroids_is_the_lowest():
    centroids_KT = np.repeat(trajectories(40, 12), 3, axis=0)
    label_n, distance_n = nearest_centroids(centroids_KT.__getitem__, 120, centroids_KT)
    np.testing.assert_array_equal(label_n, np.arange(120) // 3 * 3)
    np.testing.assert_allclose(distance_n, 0, atol=1e-4)
