"""How many clusters k-means looks for: as given, derived from the pool, or the most on which seeds agree.

Legend: n rows, S parts that are clustered by themselves.
"""

from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from ...config.schema import SubsetConfig
from ..candidates import Candidates
from ..groups import count_by_number
from .kmeans import KMeansSettings, ReadRows, cluster_rows
from .rand_index import adjusted_rand_index
from .random_order import derived_seed, sample_positions

_MOST_CLUSTERS = 100  # the paper's
_ROWS_PER_CLUSTER = 100  # a budget of 5 % then takes 5 of each

TRIED_NUMBERS = (96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2)
_FEWEST_ROWS = 10  # of a cluster, on average
_MOST_ROWS = 5000  # a larger source is sampled to so many, which takes a second or two
_NUM_SEEDS = 3
# A mean adjusted Rand index. Steinley (2004, Psychological Methods 9:386) calls it excellent, and
# docs/choosing.md says what it finds.
_AGREE = 0.9


def num_clusters_of(subset: SubsetConfig, candidates: Candidates) -> int | Literal["auto"]:
    """K: as it is given, or one that follows from the pool.

    One cluster for every hundred rows of the largest source (of the pool,
    if sources are not clustered apart), at most the paper's 100. Sources share a budget evenly,
    so one K gives about as many rows of a cluster in each of them. K does not depend on the budget,
    so a smaller subset is contained in a larger one even where each is a run of its own.
    """
    if subset.num_clusters is not None:
        return subset.num_clusters
    return min(_MOST_CLUSTERS, max(1, int(_part_sizes(subset, candidates).max()) // _ROWS_PER_CLUSTER))


def most_clusters(subset: SubsetConfig, candidates: Candidates) -> int:
    """How many clusters there may be in all: a source has no more of them than rows."""
    size_S = _part_sizes(subset, candidates)
    num_clusters = num_clusters_of(subset, candidates)
    if num_clusters == "auto":
        distinct, place_S = np.unique(size_S, return_inverse=True)
        return int(np.array([most_tried(size) for size in distinct.tolist()])[place_S].sum())
    return int(np.minimum(size_S, num_clusters).sum())


def _part_sizes(subset: SubsetConfig, candidates: Candidates) -> np.ndarray:
    """Rows of each part that is clustered by itself."""
    if subset.per_source:
        return count_by_number(candidates.source_codes_n, len(candidates.source_names))
    return np.array([len(candidates.rows)])


def most_tried(num_rows: int) -> int:
    """The largest K that is tried for so many rows, 1 where none is."""
    return next((count for count in TRIED_NUMBERS if count * _FEWEST_ROWS <= num_rows), 1)


def most_that_agree(read_rows: ReadRows, num_rows: int, settings: KMeansSettings, seed: int) -> int:
    """The largest K whose clusters agree between seeds of k-means: `num_clusters: auto`.

    The rows are clustered from three seeds with each of `TRIED_NUMBERS`, the largest first, beginning with
    `most_tried`. The first K counts whose three clusterings agree. Where none does, it is 1. Agreement may
    rise again with K, so a search from below would end too early.

    Args:
        settings: of k-means. Its own number of clusters does not count.
    """
    if most_tried(num_rows) == 1:
        return 1
    rows_nT = read_rows(
        slice(None) if num_rows <= _MOST_ROWS else sample_positions(num_rows, _MOST_ROWS, seed)
    )
    one_part_n = np.zeros(len(rows_nT), np.int32)
    for num_clusters in TRIED_NUMBERS[TRIED_NUMBERS.index(most_tried(len(rows_nT))) :]:
        of_this_many = replace(settings, num_clusters=num_clusters)
        clusterings = [
            cluster_rows(
                lambda piece: rows_nT[piece],
                len(rows_nT),
                of_this_many,
                derived_seed(seed, str(num_clusters), str(number)),
            )[0]
            for number in range(_NUM_SEEDS)
        ]
        pairs = combinations(clusterings, 2)
        if np.mean([adjusted_rand_index(one_part_n, *pair) for pair in pairs]) >= _AGREE:
            return num_clusters
    return 1
