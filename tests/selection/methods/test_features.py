"""What is clustered is what the definitions say, with the same bits however it is read.

Legend: n rows, T checkpoints.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.methods.test_methods import candidates_of, subset_config, trajectories_of
from utils.artifacts.manifests import Provenance
from utils.artifacts.subsets import SubsetManifest
from utils.config.names import Features
from utils.config.schema import SubsetConfig
from utils.selection.methods.features import OF_LOSSES, Whitening, read_features, reductions, shape
from utils.selection.methods.table import METHODS, check_num_checkpoints


def losses_of(num_rows: int, num_checkpoints: int, seed: int = 0) -> np.ndarray:
    """Float32, with levels that are most of what varies, as losses have."""
    rng = np.random.default_rng(seed)
    level_n1 = rng.gamma(2, 1, (num_rows, 1))
    return (level_n1 * rng.uniform(0.5, 1.5, (num_rows, num_checkpoints))).astype(np.float32)


def read_made_of(losses_nT: np.ndarray, features: Features):
    return OF_LOSSES[features](lambda piece: losses_nT[piece], len(losses_nT))


def test_the_shape_is_the_trajectory_less_its_mean():
    losses_nT = losses_of(50, 6)
    expected = losses_nT - losses_nT.mean(axis=1, dtype=np.float64, keepdims=True)
    np.testing.assert_allclose(shape(losses_nT), expected, atol=1e-6)
    np.testing.assert_allclose(shape(losses_nT + 3), shape(losses_nT), atol=1e-6)


def test_reductions_are_shares_of_the_loss_and_finite_where_it_is_0():
    losses_nT = np.array([[4, 2, 3], [0, 0, 0], [0, 1, 0.5], [2, 0, 0]], np.float32)
    assert reductions(losses_nT).tolist() == [[0.5, -0.5], [0, 0], [-1000, 0.5], [1, 0]]


@settings(max_examples=25)
@given(st.integers(30, 200), st.integers(1, 6), st.integers(0, 99))
def test_distances_of_whitened_rows_are_mahalanobis(num_rows, num_checkpoints, seed):
    losses_nT = losses_of(num_rows, num_checkpoints, seed).astype(np.float64)
    white_nT = read_made_of(losses_nT.astype(np.float32), "whitened")(slice(None)).astype(np.float64)
    np.testing.assert_allclose(np.cov(white_nT.T, bias=True), np.eye(num_checkpoints), atol=1e-4)
    inverse_TT = np.linalg.inv(np.atleast_2d(np.cov(losses_nT.T, bias=True)))
    offset_T = losses_nT[0] - losses_nT[1]
    distance = ((white_nT[0] - white_nT[1]) ** 2).sum()
    assert distance == pytest.approx(offset_T @ inverse_TT @ offset_T, rel=1e-3)


def test_columns_that_tell_nothing_new_become_0():
    losses_nT = losses_of(100, 3)
    told_twice = np.column_stack([losses_nT[:, 0], losses_nT[:, 0], np.full(100, 2), losses_nT[:, 1]])
    white_nT = read_made_of(told_twice.astype(np.float32), "whitened")(slice(None))
    assert not white_nT[:, 1:3].any() and np.allclose(white_nT.std(axis=0)[[0, 3]], 1, atol=1e-5)


@pytest.mark.parametrize("features", OF_LOSSES)
@given(st.data())
def test_a_row_is_the_same_bits_however_it_is_read(features, data):
    losses_nT = losses_of(90, 5)
    positions = data.draw(st.lists(st.integers(0, 89), min_size=1, max_size=20))
    start = data.draw(st.integers(0, 89))
    read = read_made_of(losses_nT, features)
    whole = read(slice(None))
    assert whole.dtype == np.float32 and np.isfinite(whole).all()
    assert np.array_equal(read(np.array(positions)), whole[positions])
    assert np.array_equal(read(slice(start, 90)), whole[start:])
    by_column = read_made_of(np.asfortranarray(losses_nT), features)
    assert np.array_equal(by_column(slice(None)), whole)


def test_whitening_follows_from_the_rows_and_not_from_the_pieces_they_come_in():
    losses_nT = losses_of(1000, 4)
    read_rows = OF_LOSSES["losses"](lambda piece: losses_nT[piece], 1000)
    whole = Whitening.of(read_rows, 1000)
    np.testing.assert_allclose(whole.mean_T, losses_nT.mean(axis=0, dtype=np.float64), rtol=1e-12)
    covariance_TT = np.cov(losses_nT.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(whole.factor_TT, np.linalg.cholesky(covariance_TT), rtol=1e-9)


def test_shapes_that_levels_hide_are_found():
    """Rows of all levels fall or rise by half a nat. k-means of losses sees the levels alone."""
    rng = np.random.default_rng(0)
    falls_N = rng.integers(0, 2, 400)
    level_N1 = rng.uniform(2, 10, (400, 1))
    steps_T = np.array([0.25, 0.1, -0.1, -0.25])
    losses_NT = level_N1 + np.where(falls_N[:, None] == 1, steps_T, -steps_T)
    candidates = candidates_of([0] * 400)
    candidates = replace(candidates, trajectories=trajectories_of(losses_NT))

    def clusters_of(features: str) -> np.ndarray:
        subset = subset_config("paper", num_clusters=2, features=features, init="kmeans++", num_restarts=5)
        return METHODS["s2l"].choose(candidates, subset, 50, 0).clusters_N[candidates.rows]

    def agreement(features: str) -> float:
        share = float((clusters_of(features) == falls_N[candidates.rows]).mean())
        return max(share, 1 - share)

    assert agreement("shape") == 1.0 and agreement("losses") < 0.6


@pytest.mark.parametrize("features", ["shape", "reductions"])
def test_one_checkpoint_has_no_shape(features):
    with pytest.raises(ValueError, match="expected at least 2, between which a loss can move"):
        check_num_checkpoints(1, subset_config(features=features))


@pytest.mark.parametrize("features", OF_LOSSES)
def test_a_choice_is_the_same_each_time_and_smaller_budgets_are_inside_larger(features):
    candidates = candidates_of([0, 1, 1, 2] * 60)
    subset = subset_config(num_clusters=6, features=features)
    whole = METHODS["s2l"].choose(candidates, subset, len(candidates.rows), 0)
    for budget in (1, 30, 111):
        again = METHODS["s2l"].choose(candidates, subset, budget, 0)
        assert np.array_equal(again.order, whole.order[:budget])
        assert np.array_equal(again.clusters_N, whole.clusters_N)
    assert whole.centroids_KT is not None
    assert whole.centroids_KT.shape[1] == read_features(candidates, subset)(slice(0, 1)).shape[1]


# What earlier versions called `clusters`


def test_a_yaml_that_says_clusters_means_features():
    for clusters, features in {"trajectories": "losses", "embeddings": "embeddings"}.items():
        assert SubsetConfig.model_validate({"clusters": clusters}).features == features
    for settings_of in (
        {"clusters": "shape"},
        {"clusters": 20},
        {"clusters": "embeddings", "features": "shape"},
    ):
        with pytest.raises(ValueError, match="clusters"):
            SubsetConfig.model_validate(settings_of)


@pytest.mark.parametrize(
    ("clusters", "expected"), [("trajectories", {}), ("embeddings", {"features": "embeddings"})]
)
def test_a_subset_made_when_features_were_called_clusters_is_the_same(tmp_path, clusters, expected):
    inputs = {"pool": "p", "num_examples": 3, "method": "s2l", "seed": 1, "trajectories": None}
    manifest = SubsetManifest(
        status="complete",
        inputs=inputs | {"clusters": clusters},
        budget=1,
        num_selectable=3,
        num_excluded=0,
        trajectories=None,
        seconds={},
        provenance=Provenance.now(),
    )
    manifest.write(tmp_path / "manifest.json")
    assert json.loads((tmp_path / "manifest.json").read_text())["inputs"]["clusters"] == clusters
    assert SubsetManifest.read(tmp_path / "manifest.json").inputs == inputs | expected
