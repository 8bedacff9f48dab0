"""Baselines against their definitions, written down the plain way at small size.

Legend: N examples of the pool, d dimensions.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.artifacts.examples import SCORING_INPUTS, forget_checksums
from utils.artifacts.files import save_array
from utils.artifacts.manifests import Provenance
from utils.artifacts.paths import RunPaths
from utils.artifacts.trajectories.manifest import TrajectoriesManifest
from utils.artifacts.trajectories.read import Trajectories, read_trajectories
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.names import SelectionMethod
from utils.config.schema import SubsetConfig
from utils.selection.candidates import Candidates
from utils.selection.methods import greedy
from utils.selection.methods.table import METHODS, check_num_checkpoints

NUM_ROWS = 40
STEPS = [0, 500, 1000]


@pytest.fixture
def scores(res_dir: Path) -> dict[str, np.ndarray]:
    """Trajectories of a run named proxy with all that a scoring pass can keep."""
    rng = np.random.default_rng(0)
    losses_NT = (rng.gamma(2, 1, (NUM_ROWS, 3)) + np.array([3, 1, 0])).astype(np.float32)
    losses_NT[5] = losses_NT[4]  # a tie
    scores = {
        "losses_NT": losses_NT,
        "probability": rng.random(NUM_ROWS).astype(np.float32),
        "max_probability": rng.random(NUM_ROWS).astype(np.float32),
        "embeddings": rng.normal(size=(NUM_ROWS, 6)).astype(np.float16),
        "num_response_tokens": rng.integers(1, 50, NUM_ROWS).astype(np.int32),
    }
    folder = TrajectoryFolder(RunPaths("proxy").trajectories)
    rows = np.arange(NUM_ROWS)
    weights = {step: f"weights {step}" for step in STEPS}
    inputs = SCORING_INPUTS | {"num_examples": NUM_ROWS}
    folder.begin(ScoringRequest(inputs, weights, scores["num_response_tokens"]))
    for number, step in enumerate(STEPS):
        kept = (
            {name: scores[name] for name in ("probability", "max_probability", "embeddings")}
            if step == 1000
            else {}
        )
        folder.finish(step, NUM_ROWS, [(rows, {"loss": losses_NT[:, number], **kept}, 0.0)])
    forget_checksums(RunPaths("proxy").trajectories_manifest)
    return scores


def candidates(selectable: list[int] | None = None) -> Candidates:
    rows = np.arange(NUM_ROWS) if selectable is None else np.array(selectable)
    trajectories = read_trajectories("proxy")
    return Candidates(
        rows, (rows % 3).astype(np.int32), ["a", "b", "c"], NUM_ROWS, trajectories, np.empty(0, int)
    )


def chosen(method: SelectionMethod, budget: int, of: Candidates | None = None, **settings) -> list[int]:
    subset = SubsetConfig.model_validate({"preset": "paper", **settings})
    return METHODS[method].choose(of or candidates(), subset, budget, 0).order.tolist()


def check(method: SelectionMethod, of: Candidates) -> None:
    METHODS[method].check(of, SubsetConfig.model_validate({}))


SELECTABLE = [row for row in range(NUM_ROWS) if row % 7 != 3]


@pytest.mark.parametrize("selectable", [None, SELECTABLE], ids=["all", "some"])
def test_scores_are_ranked_by_their_definitions(scores, selectable):
    losses_NT = scores["losses_NT"]
    of = candidates(selectable)
    rows = of.rows.tolist()
    perplexity = np.exp(losses_NT[:, -1].astype(float))
    ascending = sorted(rows, key=lambda row: (perplexity[row], row))
    middle = (len(rows) - 1) / 2
    definitions: dict[SelectionMethod, list[int]] = {
        "least_confidence": sorted(rows, key=lambda row: (scores["probability"][row], row)),
        "lowest_max_probability": sorted(rows, key=lambda row: (scores["max_probability"][row], row)),
        "high_learnability": sorted(rows, key=lambda row: (losses_NT[row, -1] - losses_NT[row, 0], row)),
        "longest": sorted(rows, key=lambda row: (-scores["num_response_tokens"][row], row)),
        "middle_perplexity": sorted(ascending, key=lambda row: abs(ascending.index(row) - middle)),
    }
    for method, expected in definitions.items():
        assert chosen(method, len(rows), of) == expected, method
        assert chosen(method, 9, of) == expected[:9], method


def unit(embeddings: np.ndarray) -> np.ndarray:
    embeddings = embeddings.astype(np.float64)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def coverage(vectors_nd: np.ndarray, picks: list[int]) -> float:
    return (1 + vectors_nd @ vectors_nd[picks].T).max(1).sum()


@pytest.mark.parametrize("share", [1, 1 / 8, 0], ids=["pairs soon", "pairs later", "never pairs"])
def test_each_facility_raises_the_coverage_most(scores, monkeypatch, share):
    monkeypatch.setattr(greedy, "_MANY_OF_ALL", share)
    vectors_Nd = unit(scores["embeddings"])
    picks = chosen("facility_location", 20)
    for place, pick in enumerate(picks):
        best = max(coverage(vectors_Nd, [*picks[:place], row]) for row in range(NUM_ROWS))
        assert coverage(vectors_Nd, [*picks[:place], pick]) > best - 1e-6
    assert chosen("facility_location", NUM_ROWS)[:20] == picks
    assert sorted(chosen("facility_location", NUM_ROWS)) == list(range(NUM_ROWS))


def test_greedy_coverage_is_close_to_the_best_there_is(scores):
    vectors_Nd = unit(scores["embeddings"])
    best = max(coverage(vectors_Nd, list(rows)) for rows in itertools.combinations(range(NUM_ROWS), 3))
    assert coverage(vectors_Nd, chosen("facility_location", 3)) >= (1 - 1 / np.e) * best


def test_each_center_is_the_row_farthest_from_those_before(scores):
    vectors_Nd = unit(scores["embeddings"])
    picks = chosen("k_center", 20)
    for place in range(1, len(picks)):
        distances = np.linalg.norm(vectors_Nd[:, None] - vectors_Nd[picks[:place]], axis=2).min(1)
        assert distances[picks[place]] > distances.max() - 1e-6
    assert (
        sorted(chosen("k_center", NUM_ROWS)) == list(range(NUM_ROWS))
        and chosen("k_center", NUM_ROWS)[:20] == picks
    )


def embedded(embeddings_nd: np.ndarray, place: Path) -> Candidates:
    """Candidates with these embeddings and nothing else."""
    num_rows = len(embeddings_nd)
    place.mkdir(exist_ok=True)
    save_array(place / "checkpoint-1.embeddings.npy", embeddings_nd)
    columns = [np.ones(num_rows, np.float32)]
    manifest = TrajectoriesManifest(
        status="complete",
        inputs=SCORING_INPUTS | {"num_examples": num_rows},
        checkpoints={1: "weights"},
        steps=[1],
        provenance=Provenance.now(),
    )
    trajectories = Trajectories([1], columns, manifest, place)
    return Candidates(
        np.arange(num_rows), np.zeros(num_rows, np.int32), [""], num_rows, trajectories, np.empty(0, int)
    )


@pytest.mark.parametrize("method", ["facility_location", "k_center"])
@settings(max_examples=60)
@given(
    num_rows=st.integers(1, 40),
    num_dimensions=st.integers(1, 12),
    seed=st.integers(0, 999),
    spread=st.sampled_from([0.02, 1]),
    num_equal=st.integers(0, 3),
    rows_at_once=st.sampled_from([3, 512]),
    share=st.sampled_from([1, 1 / 8]),
)
def test_picks_are_those_of_a_greedy_in_float64(
    tmp_path, method, num_rows, num_dimensions, seed, spread, num_equal, rows_at_once, share
):
    """Rows that lie close together, and some that are equal: of equally good rows the lowest is picked."""
    rng = np.random.default_rng(seed)
    embeddings_nd = (1 + spread * rng.normal(size=(num_rows, num_dimensions))).astype(np.float16)
    embeddings_nd[rng.integers(0, num_rows, num_equal)] = embeddings_nd[0]
    of = embedded(embeddings_nd, tmp_path / "embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy, "_ROWS_AT_ONCE", rows_at_once)
        patch.setattr(greedy, "_MANY_OF_ALL", share)
        picks = METHODS[method].choose(of, SubsetConfig.model_validate({}), num_rows, seed).order.tolist()
    vectors_nd = unit(embeddings_nd)
    similarity_nn = vectors_nd @ vectors_nd.T
    cover_n = np.full(num_rows, -1.0)
    for place, pick in enumerate(picks):
        if method == "facility_location":
            gain_n = np.maximum(similarity_nn - cover_n[:, None], 0).sum(0)
        else:
            gain_n = -cover_n if place else -np.abs(np.arange(num_rows) - float(pick))  # the first is drawn
        gain_n[picks[:place]] = -np.inf
        as_good = np.flatnonzero(gain_n >= gain_n.max() - 1e-6)
        assert pick in as_good
        equal = [row for row in as_good if np.array_equal(embeddings_nd[row], embeddings_nd[pick])]
        assert not place or pick == min(equal)
        cover_n = np.maximum(cover_n, similarity_nn[pick])


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(2, 30), st.integers(0, 99))
def test_similarities_of_whole_numbers_are_exact(tmp_path, num_dimensions, num_rows, seed):
    vectors_nd = np.random.default_rng(seed).normal(size=(num_rows, num_dimensions)).astype(np.float16)
    whole_nd, length = greedy._whole_vectors(embedded(vectors_nd, tmp_path / "whole"), 2 * num_rows)
    exact = [[sum(int(a) * int(b) for a, b in zip(x, y, strict=True)) for y in whole_nd] for x in whole_nd]
    assert (whole_nd @ whole_nd.T).tolist() == exact
    assert sum(2 * abs(product) for product in exact[0]) < 2**53 and length > 10**6


def test_rows_whose_loss_does_not_fall_come_last(scores):
    losses_NT = scores["losses_NT"][:, 1:]
    slopes = np.polyfit(np.arange(2), losses_NT.T.astype(float), 1)[0]
    falling = set(np.flatnonzero(slopes <= -0.02).tolist())
    assert 5 < len(falling) < NUM_ROWS - 5
    order = chosen("prune_then_select", NUM_ROWS, num_clusters=4)
    assert set(order[: len(falling)]) == falling and sorted(order) == list(range(NUM_ROWS))
    clusters_N = (
        METHODS["prune_then_select"]
        .choose(candidates(), SubsetConfig.model_validate({"num_clusters": 4}), 10, 0)
        .clusters_N
    )
    assert set(np.flatnonzero(clusters_N >= 0).tolist()) == falling


def test_what_prune_then_select_clusters_are_the_falls(scores):
    """Two rows of the same falls at different levels share a cluster; S2L keeps them apart."""
    losses_NT = np.array([[9, 8], [5, 4], [9, 5], [5, 1]] * 10, np.float32)
    rows = np.arange(NUM_ROWS)
    folder = TrajectoryFolder(RunPaths("falls").trajectories)
    inputs = SCORING_INPUTS | {"num_examples": NUM_ROWS}
    folder.begin(ScoringRequest(inputs, {1: "a", 2: "b"}, np.ones(NUM_ROWS, np.int32)))
    for step in (1, 2):
        folder.finish(step, NUM_ROWS, [(rows, {"loss": losses_NT[:, step - 1]}, 0.0)])
    of = Candidates(
        rows, np.zeros(NUM_ROWS, np.int32), [""], NUM_ROWS, read_trajectories("falls"), np.empty(0, int)
    )
    subset = SubsetConfig.model_validate({"num_clusters": 4})
    falls = METHODS["prune_then_select"].choose(of, subset, 4, 0).clusters_N
    assert (
        falls[:4].tolist() == [0, 0, 1, 1] and METHODS["s2l"].choose(of, subset, 4, 0).clusters_N.max() == 3
    )


def test_clusters_of_embeddings_go_by_direction(scores):
    directions = np.eye(4, 6)[np.arange(NUM_ROWS) % 4] * np.random.default_rng(1).uniform(1, 9, (NUM_ROWS, 1))
    save_array(
        RunPaths("proxy").trajectories / "checkpoint-1000.embeddings.npy", directions.astype(np.float16)
    )
    subset = SubsetConfig.model_validate({"preset": "paper", "features": "embeddings", "num_clusters": 4})
    choice = METHODS["s2l"].choose(candidates(), subset, 8, 0)
    assert choice.clusters_N.tolist() == (np.arange(NUM_ROWS) % 4).tolist()
    assert sorted(np.bincount(choice.rows % 4).tolist()) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("method", "file", "words"),
    [
        (
            "least_confidence",
            "checkpoint-1000.probability.npy",
            ["--checkpoints 1000", "trajectories.also=[confidence]"],
        ),
        ("facility_location", "checkpoint-1000.embeddings.npy", ["trajectories.also=[embeddings]"]),
        ("high_learnability", "checkpoint-0.npy", ["run_distributed_trajectories.py", "--checkpoints 0"]),
        ("longest", "num_response_tokens.npy", ["run_distributed_trajectories.py", "num_response_tokens"]),
    ],
)
def test_a_method_without_its_scores_names_the_command_that_makes_them(scores, method, file, words):
    (RunPaths("proxy").trajectories / file).unlink()
    with pytest.raises(FileNotFoundError) as refusal:
        check(method, candidates())
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_an_embedding_without_a_direction_is_refused(scores):
    embeddings = scores["embeddings"].copy()
    embeddings[[3, 7]] = [[0] * 6, [np.nan] * 6]
    save_array(RunPaths("proxy").trajectories / "checkpoint-1000.embeddings.npy", embeddings)
    with pytest.raises(ValueError, match="zero or not finite: rows 3, 7"):
        check("k_center", candidates())


def test_rows_with_losses_but_without_a_score_are_refused(scores):
    probability = scores["probability"].copy()
    probability[[3, 7]] = np.nan
    save_array(RunPaths("proxy").trajectories / "checkpoint-1000.probability.npy", probability)
    with pytest.raises(ValueError, match="2 rows with losses have no probability at step 1000: rows 3, 7"):
        check("least_confidence", candidates())
    check("least_confidence", candidates([0, 1, 2, 4]))


def test_a_slope_needs_two_checkpoints():
    with pytest.raises(ValueError, match="found 1 checkpoint"):
        check_num_checkpoints(1, SubsetConfig.model_validate({"method": "prune_then_select"}))
