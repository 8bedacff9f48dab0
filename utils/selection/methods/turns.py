"""How a budget is shared out over groups of rows: in turns, so that a smaller budget is inside a larger one.

In even turns each group that has rows left gives one, and the first B rows are the water-filling of B.

In weighted turns a group gives its rows one after the other at times of its own: the row at place p (from 0)
of a group of weight w at time (p + 1/2) / w. The order is that of the times. At time u a group has given
min(its size, u w rounded to the nearest whole number), so the first B rows, B being how many have been given
by then, are shared out in proportion to the weights, and what a spent group cannot give the others give,
in proportion again: the weighted water-filling of B. The half is Sainte-Lague's, who rounds to nearest
where (p + 1) / w, D'Hondt's, rounds down and takes from the small. With equal weights, both are even turns.

A source's weight is its number of rows, or the mean fall of its losses, to the power of `source_exponent`:
0 is S2L's even share, 1 is in proportion, what lies between is what language models call exponential
smoothing of a mixture (Devlin et al., 2018, multilingual BERT, at 0.7; Conneau and Lample, 2019, at 0.5).
A cluster's weight in its source is its number of rows to the power of `cluster_exponent`. TEMP
(arXiv:2606.26797) also weighs sources by how their losses move, through a softmax.

Legend: n rows, m some of them, G groups, S sources, K clusters.
"""

import math

import numpy as np

from ...config.schema import SubsetConfig
from ..candidates import Candidates
from ..groups import Groups, count_by_number

_BITS = 31  # of the number of rows in a group
_MOST_ROWS = (1 << _BITS) - 1
_LEAST_FALL = 1e-3  # nats: sources whose losses rise have a share too


def source_weights(candidates: Candidates, subset: SubsetConfig) -> np.ndarray | None:
    """float64 (S,): of each source, None where all weigh the same."""
    if subset.source_exponent == 0:
        return None
    num_sources = len(candidates.source_names)
    rows_S = count_by_number(candidates.source_codes_n, num_sources)
    if subset.source_weight == "rows":
        return _powers(rows_S.astype(np.float64), subset.source_exponent)
    columns = candidates.needed_trajectories.columns
    first_S, last_S = (
        np.bincount(candidates.source_codes_n, column_N[candidates.rows], num_sources)
        for column_N in (columns[0], columns[-1])
    )
    fall_S = (first_S - last_S) / np.maximum(rows_S, 1)
    return _powers(np.maximum(fall_S, _LEAST_FALL), subset.source_exponent)


def check_source_weights(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Refuse weights that so many checkpoints cannot give. Raises: ValueError."""
    if subset.source_exponent == 0 or subset.source_weight != "fall":
        return
    if num_checkpoints < 2:
        raise ValueError(
            "subset.source_weight: found fall with 1 checkpoint, expected at least 2, between which a loss "
            "can fall: score more of them, or set subset.source_weight=rows (or another preset than fall)"
        )


def cluster_weights(clusters: Groups, subset: SubsetConfig) -> np.ndarray | None:
    """float64 (K,): of each cluster, None where all weigh the same."""
    if subset.cluster_exponent == 0:
        return None
    return _powers(clusters.sizes.astype(np.float64), subset.cluster_exponent)


def _powers(number_G: np.ndarray, exponent: float) -> np.ndarray:
    """By the C library: numpy's own powers differ between processors in their last bit."""
    distinct, place_G = np.unique(number_G, return_inverse=True)
    return np.array([math.pow(max(number, _LEAST_FALL), exponent) for number in distinct.tolist()])[place_G]


def take_turns(
    groups: Groups,
    key_n: np.ndarray,
    budget: int,
    tier_G: np.ndarray | None = None,
    weight_G: np.ndarray | None = None,
) -> np.ndarray:
    """Merge groups of positions, each in an order of its own, into one order.

    In every turn each group that has any left gives its next one, larger groups first.
    Of groups of equal size the one that holds the lowest key comes first.
    Groups of a lower tier come before all groups of a higher one.
    With arrays of all positions' groups, of the groups' tiers, sizes and lowest keys, and of each position's
    place in its group:

        by_turn = np.lexsort((lowest[group], -size[group], place, tier[group]))

    Instead of sorting, which takes gigabytes, each position's place in the order is computed.

    The first B positions of a tier are the water-filling of budget B. With the groups ascending by size,
    the k-th of K gives min(its size, what is left // (K - k + 1)). So n groups of one row each are served
    exactly like one group of n rows in the order of their keys.

    Args:
        groups: some may be empty.
        key_n: uint64 (n,).
        budget: how many positions are wanted.
        tier_G: whole numbers from 0, all the same by default.
        weight_G: above 0, all the same by default.

    Returns:
        The first positions of the order.
    """
    if len(groups) == 1:
        return groups.position_n[:budget]
    tier_G = np.zeros(len(groups), np.int64) if tier_G is None else tier_G
    in_turn = np.lexsort((_lowest_keys(groups, key_n), -groups.sizes, tier_G))
    if weight_G is not None:
        return _by_time(groups, in_turn, tier_G, weight_G)[:budget]
    by_size_G = np.sort(_pair(tier_G, groups.sizes))
    tier_start_G = np.searchsorted(by_size_G, _pair(tier_G, 0))
    tier_end_G = np.searchsorted(by_size_G, _pair(tier_G + 1, 0))
    rank_G = np.empty(len(groups), np.int64)  # in each turn of its tier
    rank_G[in_turn] = np.arange(len(groups))
    rank_G -= tier_start_G
    rows_before_G = np.concatenate([[0], np.cumsum(by_size_G & _MOST_ROWS)])
    order = np.empty(min(budget, len(groups.position_n)), groups.position_n.dtype)
    for piece, group, sizes in groups.pieces():
        if len(group) > 1:
            group = np.repeat(group, sizes)
        turn_m = np.arange(piece.start, piece.stop) - groups.bounds[group]
        # Before its turn t each group of a tier has given min(t, its size), and each lower tier all.
        spent_m = np.searchsorted(by_size_G, _pair(tier_G[group], turn_m), side="right")
        place_m = rows_before_G[spent_m] + turn_m * (tier_end_G[group] - spent_m) + rank_G[group]
        is_wanted_m = place_m < budget
        order[place_m[is_wanted_m]] = groups.position_n[piece][is_wanted_m]
    return order


def _by_time(groups: Groups, in_turn: np.ndarray, tier_G: np.ndarray, weight_G: np.ndarray) -> np.ndarray:
    """All positions in weighted turns.

    Args:
        in_turn: the groups, those first that come first at equal times.
    """
    rank_G = np.empty(len(groups), np.int64)
    rank_G[in_turn] = np.arange(len(groups))
    group_n = np.repeat(np.arange(len(groups)), groups.sizes)
    time_n = (np.arange(len(group_n)) - groups.bounds[group_n] + 0.5) / weight_G[group_n]
    return groups.position_n[np.lexsort((rank_G[group_n], time_n, tier_G[group_n]))]


def _pair(tier: np.ndarray, number: np.ndarray | int) -> np.ndarray:
    """A tier and a number of rows as one whole number, which sorts by the tier first."""
    return (tier << _BITS) | number


def _lowest_keys(groups: Groups, key_n: np.ndarray) -> np.ndarray:
    """uint64 (G,)."""
    lowest_G = np.full(len(groups), 2**64 - 1, np.uint64)
    for piece, group, sizes in groups.pieces():
        lowest = np.minimum.reduceat(key_n[groups.position_n[piece]], np.cumsum(sizes) - sizes)
        lowest_G[group] = np.minimum(lowest_G[group], lowest)
    return lowest_G
