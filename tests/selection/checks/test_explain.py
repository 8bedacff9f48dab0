"""What --explain says of a row is what lies on disk: places in the random order, quotas, neighbours, reasons.

Legend: N examples of the pool, T checkpoints.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.artifacts.examples import TRAJECTORIES, subset_of
from tests.conftest import in_one_line, write_jsonl
from utils.artifacts.trajectories.manifest import TrajectoriesManifest
from utils.artifacts.trajectories.read import Trajectories
from utils.config.names import SelectionMethod
from utils.config.schema import DataConfig, SubsetConfig
from utils.data.pool import Pool
from utils.reporting.text.explanation import explanation_text
from utils.selection.candidates import Candidates, Choice, find_candidates
from utils.selection.checks import explain
from utils.selection.checks.explain import (
    Explanation,
    Group,
    Quotas,
    explanation,
    nearest_rows,
    standing_of,
)
from utils.selection.methods.table import METHODS
from utils.selection.named_rows import ListedRows
from utils.selection.reopen import SubsetWithCandidates

SEED = 3
NUM_ROWS = 300
BUDGET = 60
UNSCORABLE = {7: slice(None), 9: 1}


def make_losses() -> np.ndarray:
    losses_NT = np.random.default_rng(0).gamma(2, 1, (NUM_ROWS, 4)).astype(np.float32)
    for row, columns in UNSCORABLE.items():
        losses_NT[row, columns] = np.nan
    return losses_NT


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Pool:
    rows = [
        {
            "source": f"source {row % 3}",
            "instruction": f"Question {row}?\n" * 20,
            "output": f"Answer\x1b[31m {row}.",
        }
        for row in range(NUM_ROWS)
    ]
    return Pool(DataConfig(path=str(write_jsonl(tmp_path_factory.mktemp("pool") / "pool.jsonl", rows))))


def choose(pool: Pool, method: SelectionMethod, **settings) -> tuple[Candidates, SubsetConfig, Choice]:
    trajectories = Trajectories(None, list(make_losses().T), None, Path("losses.npy"))
    candidates, _ = find_candidates(pool, trajectories)
    subset = SubsetConfig.model_validate({"method": method, "num_clusters": 5, **settings})
    return candidates, subset, METHODS[method].choose(candidates, subset, BUDGET, SEED)


def made_of(pool: Pool, candidates: Candidates, choice: Choice) -> SubsetWithCandidates:
    listed = ListedRows(np.empty(0, np.int64), np.empty(0, np.int64))
    return SubsetWithCandidates(
        pool, subset_of(choice.rows), Path("subset"), candidates, listed, choice.clusters_N
    )


def explained(
    row: int, pool: Pool, candidates: Candidates, subset: SubsetConfig, choice: Choice
) -> Explanation:
    return explanation(row, made_of(pool, candidates, choice), subset, SEED)


@pytest.mark.parametrize("method", ["s2l", "random", "random_per_source"])
@pytest.mark.parametrize(
    ("preset", "pick"), [("released", "random"), ("paper", "random"), ("paper", "stable")]
)
def test_the_first_places_of_each_group_are_the_rows_on_disk(pool, method, preset, pick):
    candidates, subset, choice = choose(pool, method, preset=preset, pick=pick)
    made = made_of(pool, candidates, choice)
    chosen = set(choice.rows.tolist())
    for row in candidates.rows.tolist():
        standing = standing_of(row, made, subset, SEED)
        assert standing.taken == len(chosen & set(standing.members.tolist()))
        assert (standing.place <= standing.taken) == (row in chosen)
        assert row in standing.members
        if method == "s2l":
            assert np.array_equal(
                standing.members, np.flatnonzero(choice.clusters_N == choice.clusters_N[row])
            )


def test_quotas_and_place_are_as_they_are(pool):
    candidates, subset, choice = choose(pool, "s2l")
    row = int(choice.rows[0])
    found = explained(row, pool, candidates, subset, choice)
    cluster = choice.clusters_N[row]
    source = pool.source_codes[row]
    assert found.is_chosen and found.reason == "order of the group"
    assert found.standing is not None and found.standing.group == Group("cluster", str(cluster))
    assert len(found.standing.members) == np.count_nonzero(choice.clusters_N == cluster)
    assert found.quotas == Quotas(
        chosen=60,
        selectable=298,
        chosen_of_source=int((pool.source_codes[choice.rows] == source).sum()),
        selectable_of_source=int((pool.source_codes[candidates.rows] == source).sum()),
    )
    out = next(row for row in candidates.rows.tolist() if row not in choice.rows)
    assert not explained(out, pool, candidates, subset, choice).is_chosen


def test_neighbours_are_told_with_what_became_of_them(pool):
    candidates, subset, choice = choose(pool, "s2l")
    row = int(choice.rows[0])
    losses = explained(row, pool, candidates, subset, choice).losses
    assert losses is not None
    assert [(losses.neighbours[0].row, losses.neighbours[0].distance)] == [(row, 0.0)]
    for neighbour in losses.neighbours:
        assert neighbour.is_chosen == (neighbour.row in choice.rows)
        assert neighbour.cluster == choice.clusters_N[neighbour.row]
        assert neighbour.topic == pool[neighbour.row].topic


@pytest.mark.parametrize("row", list(UNSCORABLE))
def test_a_row_that_is_no_candidate_is_told_why(pool, row):
    found = explained(row, pool, *choose(pool, "s2l"))
    assert found.reason == "no loss" and found.standing is found.quotas is None
    assert found.losses is not None and not found.losses.neighbours


def test_a_row_whose_whole_response_was_cut_off_is_told_so(pool, tmp_path):
    """Our scorer has no loss at any checkpoint where no token of the response is left."""
    candidates, subset, choice = choose(pool, "s2l")
    (tmp_path / "manifest.json").write_text(json.dumps(TRAJECTORIES))
    manifest = TrajectoriesManifest.read(tmp_path / "manifest.json")
    scored = replace(candidates.needed_trajectories, manifest=manifest)
    ours = replace(candidates, trajectories=scored)
    found = explained(7, pool, ours, subset, choice)
    assert found.reason == "response cut off"
    words = f"max_length that it was scored with ({manifest.max_length}) cut off its whole response"
    assert words in in_one_line(explanation_text(found))
    assert explained(9, pool, ours, subset, choice).reason == "no loss"


def test_a_cluster_too_small_to_be_served_is_the_reason(pool):
    candidates, subset, choice = choose(pool, "s2l", num_clusters=80, min_cluster_size=3)
    sizes = np.bincount(choice.clusters_N[candidates.rows])
    lonely = next(row for row in candidates.rows.tolist() if sizes[choice.clusters_N[row]] == 1)
    assert explained(lonely, pool, candidates, subset, choice).reason == "small cluster"


def test_a_source_that_is_called_like_a_cluster_is_none(tmp_path):
    rows = [{"source": "cluster 3", "instruction": f"{row}?", "output": f"{row}."} for row in range(9)]
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows))))
    candidates, _ = find_candidates(pool, None)
    subset = SubsetConfig.model_validate({"method": "random_per_source", "min_cluster_size": 20})
    choice = METHODS["random_per_source"].choose(candidates, subset, 4, SEED)
    found = explained(0, pool, candidates, subset, choice)
    assert found.standing is not None and found.standing.group == Group("source", "cluster 3")
    assert found.reason == "order of the group"


def test_a_method_with_a_score_of_its_own_is_not_explained_by_the_random_order(pool):
    candidates, subset, choice = choose(pool, "middle_perplexity")
    row = int(choice.rows[0])
    assert explained(row, pool, candidates, subset, choice).reason == "score of the method"


def test_a_row_that_has_to_be_in_is_told_so(pool):
    candidates, subset, choice = choose(pool, "s2l")
    row = int(choice.rows[0])
    candidates = replace(candidates, included=np.array([row]))
    assert explained(row, pool, candidates, subset, choice).reason == "required"


def test_without_trajectories_there_are_no_losses(pool):
    candidates, _ = find_candidates(pool, None)
    subset = SubsetConfig.model_validate({"method": "random"})
    choice = METHODS["random"].choose(candidates, subset, BUDGET, SEED)
    found = explained(int(choice.rows[0]), pool, candidates, subset, choice)
    assert found.standing is not None and found.standing.group == Group("pool")
    assert found.losses is None


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 50), st.data())
@settings(max_examples=50)
def test_nearest_rows_are_those_of_comparing_all(num_rows, count, rows_at_once, data):
    grid = st.lists(st.integers(0, 3), min_size=2, max_size=2)
    losses_NT = np.array(data.draw(st.lists(grid, min_size=num_rows, max_size=num_rows)), np.float32)
    trajectories = Trajectories(None, list(losses_NT.T), None, Path("losses.npy"))
    rows_n = np.arange(num_rows)
    candidates = Candidates(
        rows_n, np.zeros(num_rows, np.int32), [""], num_rows, trajectories, np.empty(0, np.int64)
    )
    row = data.draw(st.integers(0, num_rows - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain, "_ROWS_AT_ONCE", rows_at_once)
        rows, distances = nearest_rows(candidates, row, count)
    distance_N = np.sqrt(((losses_NT - losses_NT[row]) ** 2).sum(axis=1))
    others = sorted((distance_N[other], other) for other in range(num_rows) if other != row)[:count]
    assert np.allclose(distances, [distance for distance, _ in others])
    assert rows.tolist() == [other for _, other in others]
