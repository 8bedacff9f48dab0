"""The trajectory debugger finds what was put into trajectories, however they are cut into pieces.

Legend: N examples of the pool, T checkpoints.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.artifacts.trajectories.read import Trajectories
from utils.selection import kinds
from utils.selection.candidates import Candidates
from utils.selection.checks.inspection import write_row_list
from utils.selection.kinds import classify_rows

nan = float("nan")


def candidates_of(losses_NT: np.ndarray) -> Candidates:
    losses_NT = np.asarray(losses_NT, np.float32)
    nan_N = np.isnan(losses_NT).any(axis=1)
    rows = np.flatnonzero(~nan_N)
    trajectories = Trajectories(None, list(losses_NT.T), None, Path("losses.npy"))
    return Candidates(
        rows, np.zeros(len(rows), np.int32), [""], len(losses_NT), trajectories, np.flatnonzero(nan_N)
    )


def kinds_of(losses_NT) -> dict[str, list[int]]:
    return {kind: rows.tolist() for kind, rows in classify_rows(candidates_of(losses_NT)).rows.items()}


def test_each_kind_is_found_in_trajectories_made_by_hand():
    learnt = [[4 + row / 100, 2.5, 1.5 + row / 100] for row in range(20)]
    planted = {
        20: [4.0, 3.9, 3.85],  # falls by less than 5 %
        21: [4.0, 4.2, 4.4],  # rises only
        22: [4.0, 2.0, 3.0],  # half of the fall comes back
        23: [4.0, 2.0, 2.9],  # less than half of it
        24: [4.0, 3.7, 3.86],  # half of a fall of more than 5 %, but less than 5 % of the first
        25: [0.1, 0.1, 0.1],  # known, though the loss does not fall
        26: learnt[3],  # identical to row 3
        27: learnt[3],
        28: [4.0, nan, 2.0],
        29: [nan, nan, nan],
        30: [0.2, 0.1, 0.2],  # half of the fall comes back, but it stays as low as the best
        31: [0.1, 0.1, 2.0],  # low at first, but not for long
    }
    assert kinds_of(learnt + list(planted.values())) == {
        "never_learnt": [20, 21, 31],
        "forgotten": [22],
        "known": [25, 30],
        "identical": [26, 27],
        "unscorable": [28, 29],
    }


def test_the_clearest_case_comes_first():
    losses = [[4, 2, 1.5 + row / 100] for row in range(20)] + [[4, 4, 4], [4, 5, 6], [4, 1, 3], [4, 1, 4]]
    found = classify_rows(candidates_of(np.array(losses)))
    assert found.clearest["never_learnt"] == [21, 20]
    assert found.clearest["forgotten"] == [23, 22]


def test_a_single_checkpoint_shows_neither_learning_nor_forgetting():
    kinds = kinds_of(np.linspace(1, 2, 30)[:, None])
    assert kinds["never_learnt"] == kinds["forgotten"] == []
    assert len(kinds["known"]) == 3


losses_lists = st.lists(
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.02, 2.0, 3.0, nan]), min_size=3, max_size=3), min_size=1
)


@given(losses_lists, st.integers(1, 5))
def test_pieces_do_not_matter_and_identical_is_what_comparing_all_rows_says(losses, rows_at_once):
    losses_NT = np.array([*losses, [1.0, 2.0, 3.0]], np.float32)
    whole = kinds_of(losses_NT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "_ROWS_AT_ONCE", rows_at_once)
        assert kinds_of(losses_NT) == whole
    brute_force = [
        row
        for row in range(len(losses_NT))
        if any(np.array_equal(losses_NT[row], losses_NT[r]) for r in range(row))
    ]
    assert whole["identical"] == brute_force
    assert not set(whole["never_learnt"]) & (set(whole["forgotten"]) | set(whole["known"]))
    assert whole["unscorable"] == np.flatnonzero(np.isnan(losses_NT).any(axis=1)).tolist()


def test_equal_hashes_alone_do_not_make_rows_identical(monkeypatch):
    monkeypatch.setattr(kinds, "_hash_rows", lambda losses_mT: np.zeros(len(losses_mT), np.uint64))
    assert kinds_of([[3, 1], [2, 1], [3, 1]])["identical"] == [2]


def test_exported_lists_read_back(tmp_path):
    rows = np.array([3, 17, 2**40], np.int64)
    write_row_list(rows, tmp_path / "rows.npy")
    write_row_list(rows, tmp_path / "rows.txt")
    assert np.load(tmp_path / "rows.npy").tolist() == rows.tolist()
    assert (tmp_path / "rows.txt").read_text() == "3\n17\n1099511627776\n"
