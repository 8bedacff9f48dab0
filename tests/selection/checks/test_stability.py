"""Stability is 1 where clusters are beyond doubt and small where there is nothing to find, also in words.

Legend: N examples of the pool, T checkpoints.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import select_s2l
from tests.artifacts.examples import subset_of
from utils.artifacts.paths import RunPaths
from utils.artifacts.trajectories.read import Trajectories
from utils.config.schema import SubsetConfig
from utils.data.numbered_rows import NumberedRows
from utils.selection.candidates import Candidates
from utils.selection.checks import stability
from utils.selection.checks.stability import (
    Agreement,
    Stability,
    jaccard,
    measure_stability,
    share_of_level,
)
from utils.selection.methods.s2l import s2l
from utils.selection.named_rows import ListedRows
from utils.selection.reopen import SubsetWithCandidates


def test_jaccard():
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4, 5])) == 2 / 5


def test_share_of_level_of_known_trajectories():
    part = np.zeros(4, int)
    level = np.array([[1, 1], [2, 2], [3, 3], [4, 4]], np.float32)
    shape = np.array([[1, -1], [-1, 1], [2, -2], [-2, 2]], np.float32)
    assert share_of_level(part, level) == pytest.approx(1)
    assert share_of_level(part, shape) == pytest.approx(0)
    # A checkpoint's mean is no shape.
    assert share_of_level(part, level + np.array([0, 5], np.float32)) == pytest.approx(1)
    # Squares: 2 * 5 of level, 2 * 10 of shape.
    assert share_of_level(part, level + shape) == pytest.approx(10 / 30)
    assert share_of_level(np.arange(4), level) == 1  # nothing varies inside the parts


# The whole measurement


def candidates_of(losses_NT: np.ndarray, num_sources: int = 2) -> Candidates:
    num_rows = len(losses_NT)
    columns = list(np.ascontiguousarray(losses_NT.T, np.float32))
    names = [f"source {number}" for number in range(num_sources)]
    sources = (np.arange(num_rows) % num_sources).astype(np.int32)
    trajectories = Trajectories(None, columns, None, Path("losses.npy"))
    return Candidates(np.arange(num_rows), sources, names, num_rows, trajectories, np.empty(0, np.int64))


def measure(losses_NT: np.ndarray, budget: int, target: np.ndarray | None = None, **settings) -> Stability:
    subset = SubsetConfig.model_validate({"init": "kmeans++", "num_restarts": 10, **settings})
    made = made_of(candidates_of(losses_NT), subset, budget)
    scored = None if target is None else candidates_of(target).trajectories
    return measure_stability(made, subset, 5, scored)


def made_of(candidates: Candidates, subset: SubsetConfig, budget: int) -> SubsetWithCandidates:
    choice = s2l(candidates, subset, budget, 5)
    pool = NumberedRows(candidates.num_examples, None)
    listed = ListedRows(np.empty(0, np.int64), np.empty(0, np.int64))
    return SubsetWithCandidates(
        pool, subset_of(choice.rows), Path("subset"), candidates, listed, choice.clusters_N
    )


@pytest.fixture
def config_file_of(tmp_path: Path, res_dir: Path) -> Callable[[np.ndarray], Path]:
    """Writes losses, sources and the YAML of a selection from them."""

    def make(losses_NT: np.ndarray) -> Path:
        np.save(tmp_path / "losses.npy", losses_NT.astype(np.float32))
        np.save(tmp_path / "sources.npy", np.arange(len(losses_NT)) % 2)
        subset = {
            "trajectories_from": str(tmp_path / "losses.npy"),
            "sources_from": str(tmp_path / "sources.npy"),
        }
        path = tmp_path / "target.yml"
        path.write_text(yaml.safe_dump({"run_name": "target", "subset": subset}))
        return path

    return make


def planted(num_rows: int = 1200) -> np.ndarray:
    """Four clusters of shapes: all have the same mean loss, two and two share the last."""
    shapes = np.array([[5, 3, 1, 3], [1, 3, 5, 3], [4, 4, 2, 2], [2, 4, 4, 2]])
    rng = np.random.default_rng(0)
    return shapes[rng.integers(4, size=num_rows)] + rng.normal(0, 0.02, (num_rows, 4))


def test_planted_clusters_are_stable_and_more_than_their_level():
    found = measure(planted(), 200, num_clusters=4)
    assert found.other_seeds == [Agreement(1.0, 1.0)] * 3
    assert [agreement.clusters for agreement in found.without_checkpoint.values()] == [1.0] * 4
    assert found.share_of_level < 0.01
    assert found.mean_loss_alone.clusters < 0.1 and found.last_loss_alone.clusters < 0.6
    assert not any("depend on chance" in warning or "mean loss" in warning for warning in found.warnings)


def test_rows_that_must_be_in_and_limits_per_source_are_kept_to(config_file_of):
    config_file = config_file_of(planted())
    settings = [f"subset.include={config_file.parent / 'in.txt'}", "subset.max_per_source=90"]
    settings += [
        "subset.init=kmeans++",
        "subset.num_restarts=10",
        "subset.num_clusters=4",
        "subset.budget=150",
    ]
    (config_file.parent / "in.txt").write_text("5\n8\n")
    assert select_s2l.main(["--config_file", str(config_file), *settings]) == 0
    assert select_s2l.main(["--config_file", str(config_file), *settings, "--stability"]) == 0
    agreement = json.loads((RunPaths("target").subset / "stability.json").read_text())
    assert agreement["other_seeds"] == [{"clusters": 1.0, "subset": 1.0}] * 3


def test_the_target_agrees_where_its_losses_make_the_same_clusters():
    losses_NT = planted()
    shuffled_NT = np.random.default_rng(3).permutation(losses_NT)
    settings = {"num_clusters": 4, "init": "kmeans++", "num_restarts": 10}
    same = measure(losses_NT, 200, target=losses_NT[:, ::2] + 1, **settings).target_losses
    other = measure(losses_NT, 200, target=shuffled_NT, **settings).target_losses
    assert same is not None and same.clusters > 0.99
    assert other is not None and other.clusters < 0.05
    assert measure(losses_NT, 200, **settings).target_losses is None


def test_noise_is_warned_of():
    noise = np.random.default_rng(0).normal(3, 1, (1200, 6))
    found = measure(noise, 200, num_clusters=30, init="random", num_restarts=1)
    assert max(seed.clusters for seed in found.other_seeds) < 0.5
    assert any("depend on chance" in warning for warning in found.warnings)


def test_level_alone_is_warned_of():
    rng = np.random.default_rng(0)
    level = rng.gamma(2, 1, (1200, 1)) * np.array([[1, 0.9, 0.8]])
    found = measure(level, 200, num_clusters=10, init="random", num_restarts=1)
    assert found.share_of_level > 0.98
    assert any("no more than the mean loss" in warning for warning in found.warnings)


def test_a_sample_of_a_large_pool_says_so_and_agrees(monkeypatch):
    whole = measure(planted(), 200, num_clusters=4)
    monkeypatch.setattr(stability, "MAX_ROWS", 600)
    found = measure(planted(), 200, num_clusters=4)
    assert (found.rows_measured, found.budget_measured, found.selectable) == (600, 100, 1200)
    assert found.other_seeds[0].clusters == whole.other_seeds[0].clusters == 1.0
    assert measure(planted(), 200, num_clusters=4) == found


def test_a_sample_keeps_the_rows_that_must_be_in(monkeypatch):
    """So the subset that others are compared with is one that has them, as theirs."""
    monkeypatch.setattr(stability, "MAX_ROWS", 600)
    candidates = replace(candidates_of(planted()), included=np.arange(0, 1200, 4))
    settings = SubsetConfig.model_validate({"init": "kmeans++", "num_restarts": 10, "num_clusters": 4})
    made = made_of(candidates, settings, 400)
    variants = stability.SubsetVariants(made, settings, 5)
    included = variants.candidates.included
    assert len(included) > 100 and np.isin(included, variants.indices).all()
    assert measure_stability(made, settings, 5).other_seeds == [Agreement(1.0, 1.0)] * 3


def test_an_extended_subset_is_refused(config_file_of, capsys):
    config_file = config_file_of(planted())
    words = ["--config_file", str(config_file), "subset.num_clusters=4"]
    assert select_s2l.main([*words, "run_name=old", "subset.budget=100"]) == 0
    words += ["subset.budget=150", "subset.extend=old"]
    assert select_s2l.main(words) == 0
    assert select_s2l.main([*words, "--stability"]) == 1
    assert "found subset.extend old, expected a subset that was chosen at once" in capsys.readouterr().err


@pytest.mark.parametrize("num_checkpoints", [2, 3])
def test_what_features_are_made_of_is_left(num_checkpoints):
    losses_NT = np.random.default_rng(0).gamma(2, 1, (300, num_checkpoints))
    for features in ("shape", "reductions"):
        found = measure(losses_NT, 30, num_clusters=5, features=features)
        assert len(found.without_checkpoint) == (0 if num_checkpoints == 2 else 3)


@pytest.mark.parametrize("num_checkpoints", [1, 2, 60])
def test_at_most_twelve_checkpoints_are_left_out_and_never_the_only_one(num_checkpoints):
    losses_NT = np.random.default_rng(0).gamma(2, 1, (300, num_checkpoints))
    found = measure(losses_NT, 30, num_clusters=5)
    assert len(found.without_checkpoint) == (0 if num_checkpoints == 1 else min(num_checkpoints, 12))
