"""The most clusters that agree between seeds of k-means: `num_clusters: auto`.

Tried are 96, 64, 48, 32, 24, ... 3, 2 clusters, as far as ten rows or more are in one on average. With each
number the rows are clustered from three seeds. The first number counts whose three clusterings agree: a mean
adjusted Rand index of at least 0.9, which Steinley (2004, Psychological Methods 9:386) calls excellent. Where
none does, it is 1. The index may rise again with the number, so a search from below would end too early. Of
more than 5,000 rows so many are drawn, so that the cost of a source is bounded: about a thousand times that
of one cluster on those rows, a second or two.

Why 0.9. The mean index of three seeds, k-means++ with 10 restarts:

    20 planted clusters, 4,071 rows    16 clusters: 0.97 and 0.98, 32: 0.67 and 0.69, 64: 0.51 and 0.46
    12 planted clusters, 600 rows      12 clusters: 1.00, 16: 0.85, 24: 0.70, 32: 0.59
    noise, 2,000 rows                  0.12 to 0.33 with any number
    rows that differ in level alone    0.82 to 0.91 up to 8 clusters, 0.67 to 0.74 with 16 and more
    the quickstart's proxy, 10 sources 4 clusters: 0.51 to 1.00 (the median 0.95), 8: 0.50 to 0.83,
                                       16 and more: at most 0.67

A number beyond the true one by a third still reaches 0.8, since most pairs lie in clusters that are whole. At
0.9 16 are found of the 20 (tried are 16 and 24), 4 of 4 for six pools of six, 12 of 12 for five of six, 1 in
noise, and 2 to 8 in the quickstart's sources. From one random start planted clusters themselves agree at 0.60
to 0.79, and 1 to 3 are found: `auto` wants init: kmeans++ and several restarts.

Legend: n rows.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from .kmeans import KMeansSettings, ReadRows, cluster_rows
from .random_order import derived_seed, sample_positions

CANDIDATES = (96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2)
_AGREE = 0.9
_NUM_SEEDS = 3
_MOST_ROWS = 5000
_ROWS_PER_CLUSTER = 10


def most_tried(num_rows: int) -> int:
    """The largest K that is tried for so many rows, 1 where none is."""
    return next((count for count in CANDIDATES if count * _ROWS_PER_CLUSTER <= num_rows), 1)


def most_that_agree(read_rows: ReadRows, num_rows: int, settings: KMeansSettings, seed: int) -> int:
    """The largest K whose clusters agree between seeds of k-means.

    Args:
        settings: of k-means. Its own number of clusters does not count.
    """
    if most_tried(num_rows) == 1:
        return 1
    rows_nT = read_rows(
        slice(None) if num_rows <= _MOST_ROWS else sample_positions(num_rows, _MOST_ROWS, seed)
    )
    one_part_n = np.zeros(len(rows_nT), np.int32)
    for num_clusters in CANDIDATES[CANDIDATES.index(most_tried(len(rows_nT))) :]:
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


def adjusted_rand_index(part_n: np.ndarray, first_n: np.ndarray, second_n: np.ndarray) -> float:
    """Agreement of two clusterings (Hubert and Arabie, 1985): 1 = the same, 0 = no more than chance.

    (index - expected) / (maximum - expected), where index counts the pairs of rows that lie together in both,
    maximum is the mean of the pairs together in either, and expected is what shuffled labels would give.
    Pairs are counted and labels shuffled inside the parts only. With one part, this is the usual index. With
    several, clusters that agree for no other reason than that no cluster crosses a source earn nothing. Two
    clusterings that no shuffling could tell apart (one cluster each, or all rows alone) agree: 1.

    Args:
        part_n: int (n,), the part of each row.
        first_n: int (n,), its cluster in one of the two.
        second_n: int (n,), its cluster in the other.
    """
    part_n, first_n, second_n = (
        np.unique(values_n, return_inverse=True)[1] for values_n in (part_n, first_n, second_n)
    )
    num_parts = int(part_n.max()) + 1

    def pairs_P(label_n: np.ndarray) -> np.ndarray:
        labels, sizes = np.unique(part_n * (label_n.max() + 1) + label_n, return_counts=True)
        pairs = sizes * (sizes - 1.0) / 2
        return np.bincount(labels // (label_n.max() + 1), pairs, num_parts)

    both = pairs_P(first_n * (second_n.max() + 1) + second_n).sum()
    first_P = pairs_P(first_n)
    second_P = pairs_P(second_n)
    all_P = pairs_P(np.zeros_like(part_n))
    expected = np.divide(first_P * second_P, all_P, out=np.zeros(num_parts), where=all_P > 0).sum()
    maximum = (first_P.sum() + second_P.sum()) / 2
    return 1.0 if maximum == expected else float((both - expected) / (maximum - expected))
