"""Two baselines that cover the embeddings of the pool greedily. A larger budget contains a smaller one.

Similarities are products of vectors of whole numbers: unit vectors, lengthened and rounded. Their length is
the largest that keeps every product and every sum of products below 2**53, up to where float64 is exact.
So a matrix product gives the same bits on every machine, at any number of threads, in whatever order it adds,
and rows of equal gain are equal to the bit. Rounding changes a cosine by about 1e-6 at 50,000 rows, and by
less at fewer. Keeping embeddings as float16 changes it by more.

Legend: n candidates, d dimensions, b rows looked at together, P pairs of rows.
"""

import math
from collections.abc import Iterator

import numpy as np

from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice, choose_in_order
from .embeddings import unit_embeddings

_LARGEST_SUM = 2**53
_ROWS_AT_ONCE = 512
_TILE = 2**14
_MANY_PAIRS = 2**25  # kept twice, 0.8 gigabytes
_MANY_OF_ALL = 1 / 8  # of all pairs. Below it going through them is faster than a matrix product
_SAMPLED_ROWS = 512


def facility_location(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Greedy maximisation of the facility location function (greedy by Nemhauser et al., 1978).

    The function is the sum over all rows of 1 + the cosine similarity to their nearest chosen row.
    Ties, of the rounded vectors, go to the lowest row.

    Exact: no sampling, no graph of neighbours that leaves similarities out, no rounding of sums. The gain of
    every row is kept up to date. A pick lowers gains only through the rows that it covers better than before,
    some n / p of them at the p-th pick. Once few pairs of rows (i, j) are more similar than i is covered,
    only those are kept.
    """
    vectors_nd, length = _whole_vectors(candidates, num_summed=2 * len(candidates.rows))
    num_rows = len(vectors_nd)
    one = float(length**2)  # a cosine of 1, in products of whole numbers
    cover_n = np.full(num_rows, -one)  # nothing chosen: similarity 1 + cos = 0
    gain_n = num_rows * one + vectors_nd @ vectors_nd.sum(0)
    order = np.empty(budget, np.int64)
    closer = None
    for place in range(budget):
        best = int(np.argmax(gain_n))
        order[place] = best
        # Ever more rarely, since looking costs about as much as a pick.
        is_time_to_look = place > 0 and place % max(1, place // 8) == 0
        if closer is None and is_time_to_look and _few_are_closer(vectors_nd, cover_n):
            closer = _CloserPairs(vectors_nd, cover_n)
        if closer is None:
            similarity_n = vectors_nd @ vectors_nd[best]
            better = np.flatnonzero(similarity_n > cover_n)
            new_cover_b = similarity_n[better]
            _lower_gains(gain_n, vectors_nd, better, cover_n[better], new_cover_b)
        else:
            better, new_cover_b = closer.better_covered(best, cover_n)
            closer.lower_gains(gain_n, better, cover_n[better], new_cover_b)
        cover_n[better] = new_cover_b
        gain_n[best] = -np.inf
    return choose_in_order(candidates, order, budget)


def _lower_gains(
    gain_n: np.ndarray,
    vectors_nd: np.ndarray,
    better: np.ndarray,
    old_cover_b: np.ndarray,
    new_cover_b: np.ndarray,
) -> None:
    """Take from each row's gain what it no longer gains: these rows are covered better now.

    Args:
        gain_n: changed in place.
        better: integers (b,), the rows that are covered better.
        old_cover_b: their similarity to the nearest row chosen before.
        new_cover_b: their similarity to the row chosen now.
    """
    for start in range(0, len(better), _ROWS_AT_ONCE):
        piece = slice(start, start + _ROWS_AT_ONCE)
        old_b1 = old_cover_b[piece, None]
        new_b1 = new_cover_b[piece, None]
        for tile in _tiles(len(gain_n)):
            # A similarity above the cover is gain. The part of it up to the new cover is lost.
            lost_bt = vectors_nd[better[piece]] @ vectors_nd[tile].T
            np.clip(lost_bt, old_b1, new_b1, out=lost_bt)
            lost_bt -= old_b1
            gain_n[tile] -= lost_bt.sum(0)


def _tiles(num_rows: int) -> Iterator[slice]:
    """Pieces of the pool: large enough for a fast matrix product, small enough for memory."""
    return (slice(start, start + _TILE) for start in range(0, num_rows, _TILE))


def _few_are_closer(vectors_nd: np.ndarray, cover_n: np.ndarray) -> bool:
    """Whether `_CloserPairs` would keep few enough pairs, judged by evenly spaced rows."""
    num_rows = len(vectors_nd)
    sample = slice(None, None, max(1, num_rows // _SAMPLED_ROWS))
    similarity_sn = vectors_nd[sample] @ vectors_nd.T
    share = int(np.count_nonzero(similarity_sn > cover_n[sample, None])) / similarity_sn.size
    return share * num_rows**2 < min(_MANY_PAIRS, _MANY_OF_ALL * num_rows**2)


class _CloserPairs:
    """The pairs of rows (i, j) that are more similar than i is covered: only from those can j gain any more.

    They are kept twice: by i, to see whose gain shrinks, and by j, to see whom a pick covers better.
    """

    def __init__(self, vectors_nd: np.ndarray, cover_n: np.ndarray):
        from scipy import sparse  # a fifth of a second to import, and only this method needs it

        num_rows = len(vectors_nd)
        parts = [_closer(vectors_nd, cover_n, start) for start in range(0, num_rows, _ROWS_AT_ONCE)]
        covered_P, gaining_P, similarity_P = map(np.concatenate, zip(*parts, strict=True))
        del parts
        self._by_covered = sparse.csr_array(
            (similarity_P, (covered_P, gaining_P)), shape=(num_rows, num_rows)
        )
        del covered_P, gaining_P, similarity_P
        self._by_gaining = self._by_covered.tocsc()

    def better_covered(self, pick: int, cover_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that are more similar to `pick` than to any row chosen before, and these similarities."""
        pairs = slice(*self._by_gaining.indptr[pick : pick + 2])
        covered = self._by_gaining.indices[pairs]
        similarity = self._by_gaining.data[pairs]
        better = similarity > cover_n[covered]
        return covered[better], similarity[better]

    def lower_gains(
        self, gain_n: np.ndarray, better: np.ndarray, old_cover_b: np.ndarray, new_cover_b: np.ndarray
    ) -> None:
        """As `_lower_gains`."""
        pairs = self._by_covered[better]
        counts_b = np.diff(pairs.indptr)
        old = np.repeat(old_cover_b, counts_b)
        new = np.repeat(new_cover_b, counts_b)
        np.subtract.at(gain_n, pairs.indices, np.clip(pairs.data, old, new) - old)


def _closer(
    vectors_nd: np.ndarray, cover_n: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closer pairs of one of the rows from `start` on and a row that is not before them.

    Returns:
        int32 i, int32 j, and float64 similarity, each (P,).
    """
    rows = slice(start, start + _ROWS_AT_ONCE)
    similarity_bt = vectors_nd[rows] @ vectors_nd[start:].T
    num_rows = len(similarity_bt)
    found = []
    # Each product of two rows tells of a pair both ways, so half of all products are enough.
    for is_closer_bt, is_turned in (
        (similarity_bt > cover_n[rows, None], False),
        (similarity_bt[:, num_rows:] > cover_n[start + num_rows :], True),
    ):
        row_P, column_P = np.nonzero(is_closer_bt)
        column_P += num_rows if is_turned else 0
        pair = ((start + row_P).astype(np.int32), (start + column_P).astype(np.int32))
        found.append((*(pair[::-1] if is_turned else pair), similarity_bt[row_P, column_P]))
    covered, gaining, similarity = map(np.concatenate, zip(*found, strict=True))
    return covered, gaining, similarity


def k_center(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Greedy k-center (Gonzalez, 1985). For choosing data: Sener and Savarese, 2018, arXiv:1708.00489.

    Each pick is the row farthest from all chosen ones, in Euclidean distance of unit vectors.
    The first is drawn by the seed. Ties go to the lowest row.
    """
    vectors_nd, _ = _whole_vectors(candidates, num_summed=4)
    square_n = np.einsum("nd,nd->n", vectors_nd, vectors_nd)
    nearest_n = np.full(len(vectors_nd), np.inf)
    order = np.empty(budget, np.int64)
    best = int(np.argmin(candidates.random_keys(seed)))
    for place in range(budget):
        order[place] = best
        distance_n = square_n + square_n[best] - 2 * (vectors_nd @ vectors_nd[best])
        np.minimum(nearest_n, distance_n, out=nearest_n)
        nearest_n[best] = -1.0
        best = int(np.argmax(nearest_n))
    return choose_in_order(candidates, order, budget)


def _whole_vectors(candidates: Candidates, num_summed: int) -> tuple[np.ndarray, int]:
    """float64 (n, d) of whole numbers, and how long a unit vector became.

    Args:
        num_summed: of so many products of two vectors the sum must be exact.
    """
    read_rows = unit_embeddings(candidates)
    num_rows = len(candidates.rows)
    vectors_nd = np.empty((num_rows, read_rows(slice(0, 1)).shape[1]))
    # Rounding lengthens a vector by at most half the square root of its number of dimensions.
    length = math.isqrt(_LARGEST_SUM // num_summed) - math.isqrt(vectors_nd.shape[1]) - 1
    for tile in _tiles(num_rows):
        vectors_nd[tile] = read_rows(tile)
        vectors_nd[tile] *= length
        np.rint(vectors_nd[tile], out=vectors_nd[tile])
    assert num_summed * np.einsum("nd,nd->n", vectors_nd, vectors_nd).max() <= _LARGEST_SUM
    return vectors_nd, length
