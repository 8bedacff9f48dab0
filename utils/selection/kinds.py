"""Kinds of trajectories: rows never learnt, forgotten, known, identical or unscorable.

Kinds, by the losses of a row at the checkpoints that selection uses (first, last, and the lowest of all).
Shares are of the row's own first loss, so that they mean the same for easy and hard rows and for any pool:

    never_learnt  the loss never falls: lowest > 95 % of the first, and the row is not known
    forgotten     the loss falls by 5 % of the first or more, then at least half of that fall comes back, and
                  at least 5 % of the first: last - lowest >= max((first - lowest) / 2, first / 20), and the
                  row is not known
    known         known from the start and still: first and last <= the loss that only the best tenth of the
                  rows get at the last checkpoint (the one threshold that follows from the data)
    identical     the same losses, bit for bit, as a row with a lower number
    unscorable    no loss (NaN) at some checkpoint, never chosen

The first three exclude each other. `identical` may overlap them. A single checkpoint shows no learning and no
forgetting. Toneva et al. (arXiv:1812.05159) count forgetting in correct answers that turn wrong. Here it is
counted in losses.

Legend: n candidates, m some of them, T checkpoints.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from ..config.names import TrajectoryKind
from .candidates import Candidates, is_in

KINDS: tuple[TrajectoryKind, ...] = get_args(TrajectoryKind)
_FALL = 0.05  # of the first loss: less is no learning
_COMES_BACK = 0.5  # of the fall
_BEST = 0.1  # of the rows at the last checkpoint
_ROWS_AT_ONCE = 2**20
_NUM_CLEAREST = 4  # rows of a kind


@dataclass(frozen=True)
class ClassifiedRows:
    """Rows by what their trajectories are like.

    Attributes:
        rows: kind -> int64, ascending row numbers of the pool.
        clearest: kind -> a few of its rows, the clearest case first. Of known the lowest loss, of forgotten
            the largest share of the first loss that comes back, of never_learnt the highest last loss as a
            share of the first, of the others the lowest row.
        known_below: the loss (nats per response token) that `known` compares with.
    """

    rows: dict[TrajectoryKind, np.ndarray]
    clearest: dict[TrajectoryKind, list[int]]
    known_below: float


def classify_rows(candidates: Candidates) -> ClassifiedRows:
    """The rows of each of `KINDS`. The losses are read in pieces: a few numbers a row stay in memory."""
    rows_n = candidates.rows
    known_below = float(np.quantile(candidates.needed_trajectories.columns[-1][rows_n], _BEST))
    found: dict[TrajectoryKind, list[np.ndarray]] = {kind: [] for kind in KINDS}
    cases: dict[TrajectoryKind, list[tuple[float, int]]] = {kind: [] for kind in KINDS}
    hash_n = np.empty(len(rows_n), np.uint64)
    for start in range(0, len(rows_n), _ROWS_AT_ONCE):
        rows_m = rows_n[start : start + _ROWS_AT_ONCE]
        losses_mT = candidates.read_losses(slice(start, start + _ROWS_AT_ONCE))
        hash_n[start : start + len(rows_m)] = _hash_rows(losses_mT)
        for kind, (is_kind_m, clearness_m) in _kinds_of_rows(losses_mT, known_below).items():
            of_kind = np.flatnonzero(is_kind_m)
            found[kind].append(rows_m[of_kind])
            best = of_kind[np.argsort(-clearness_m[of_kind], kind="stable")[:_NUM_CLEAREST]]
            cases[kind] += zip((-clearness_m[best]).tolist(), rows_m[best].tolist(), strict=True)
    found["identical"] = [_identical_to_an_earlier_row(candidates, hash_n)]
    found["unscorable"] = [candidates.unscorable]
    rows: dict[TrajectoryKind, np.ndarray] = {}
    clearest: dict[TrajectoryKind, list[int]] = {}
    for kind in KINDS:
        rows[kind] = np.concatenate([np.empty(0, np.int64), *found[kind]]).astype(np.int64)
        clearest[kind] = [row for _, row in sorted(cases[kind])[:_NUM_CLEAREST]]
    clearest["identical"] = rows["identical"][:_NUM_CLEAREST].tolist()
    clearest["unscorable"] = rows["unscorable"][:_NUM_CLEAREST].tolist()
    return ClassifiedRows(rows, clearest, known_below)


def _kinds_of_rows(
    losses_mT: np.ndarray, known_below: float
) -> dict[TrajectoryKind, tuple[np.ndarray, np.ndarray]]:
    """Kind -> (bool (m,): is it of that kind, (m,): how clearly)."""
    first_m = losses_mT[:, 0].astype(np.float64)
    last_m = losses_mT[:, -1].astype(np.float64)
    lowest_m = losses_mT.min(axis=1).astype(np.float64)
    scale_m = np.maximum(first_m, 1e-12)
    known_m = np.maximum(first_m, last_m) <= known_below
    falls_m = lowest_m <= (1 - _FALL) * first_m
    comes_back_m = last_m - lowest_m >= np.maximum(_COMES_BACK * (first_m - lowest_m), _FALL * first_m)
    several = losses_mT.shape[1] > 1
    return {
        "never_learnt": (~falls_m & ~known_m & several, last_m / scale_m),
        "forgotten": (falls_m & comes_back_m & ~known_m, (last_m - lowest_m) / scale_m),
        "known": (known_m, -first_m),
    }


def _hash_rows(losses_mT: np.ndarray) -> np.ndarray:
    """uint64 (m,), equal for equal rows (0 and -0 are equal).

    Each loss is mixed in by one round of splitmix64.
    """
    bits_mT = (losses_mT + np.float32(0)).view(np.uint32).astype(np.uint64)
    hash_m = np.zeros(len(bits_mT), np.uint64)
    for bits_m in bits_mT.T:
        hash_m = (hash_m ^ bits_m) + np.uint64(0x9E3779B97F4A7C15)
        hash_m = (hash_m ^ (hash_m >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hash_m = (hash_m ^ (hash_m >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hash_m ^= hash_m >> np.uint64(31)
    return hash_m


def _identical_to_an_earlier_row(candidates: Candidates, hash_n: np.ndarray) -> np.ndarray:
    """int64, ascending: rows whose trajectory a row with a lower number has too.

    Equal hashes are only a suspicion. The losses decide.
    """
    suspect_m = _with_repeated_hash(hash_n)
    order_m = suspect_m[np.argsort(hash_n[suspect_m], kind="stable")]  # of one hash together, ascending
    starts_m = np.diff(hash_n[order_m], prepend=~hash_n[order_m[:1]]) != 0
    first_m = order_m[np.maximum.accumulate(np.where(starts_m, np.arange(len(order_m)), 0))]
    rows_m = candidates.rows[order_m[~starts_m]]
    firsts_m = candidates.rows[first_m[~starts_m]]
    same = [np.empty(0, np.int64)]
    for start in range(0, len(rows_m), _ROWS_AT_ONCE):
        piece = slice(start, start + _ROWS_AT_ONCE)
        equal_m = np.all(candidates.losses(rows_m[piece]) == candidates.losses(firsts_m[piece]), axis=1)
        same.append(rows_m[piece][equal_m])
    return np.sort(np.concatenate(same))


def _with_repeated_hash(hash_n: np.ndarray) -> np.ndarray:
    """Ascending positions of the hashes that are there more than once. Of most pools these are few."""
    sorted_n = np.sort(hash_n)
    repeated = np.unique(sorted_n[1:][sorted_n[1:] == sorted_n[:-1]])
    del sorted_n  # of a hundred million rows each array counts
    found = [np.empty(0, np.int64)]
    for start in range(0, len(hash_n), _ROWS_AT_ONCE):
        hash_m = hash_n[start : start + _ROWS_AT_ONCE]
        found.append(start + np.flatnonzero(is_in(repeated, hash_m)))
    return np.concatenate(found)
