"""SmallToLarge, Algorithm 1: cluster the loss trajectories, spend the budget evenly on the clusters.

    Algorithm 1 of arXiv:2403.07384                     here
    cluster the trajectories into C_1 ... C_K           cluster_rows
    sort the clusters by size, ascending                take_turns
    for k = 1 ... K:
        R_k = (B - |S|) / (K - k + 1)                   take_turns
        S += all of C_k if |C_k| <= R_k,
             else R_k of C_k at random                  in_random_order

The algorithm is written for one budget B. Here clusters take turns: in each turn every cluster
that has rows left gives one. That puts all rows into one order. Its first B rows are what Algorithm 1 takes,
for every B: small clusters are spent, the others have given equal shares.
So a smaller subset is contained in a larger one, and one clustering serves all budgets.

Deviations, each for a reason:
- `per_source` (preset released): each source is clustered by itself, as in the released code, and sources
  take turns by the same rule. The paper's Algorithm 1 knows no sources.
- `min_cluster_size: 3` (preset released): smaller clusters are passed over until all others are spent,
  as in the released code. 1 (preset paper) makes no exception.
- R_k is rounded down, so in the last, incomplete turn the larger clusters are served. Clusters of equal size
  come in a random order, so that what rounding leaves over does not always go to the end of the pool.
- `clusters: embeddings` clusters the last checkpoint's mean response embeddings instead, at unit length.

Legend: N examples of the pool, n candidates, m those of one source, K clusters, T checkpoints.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice, positions_by_group
from ..extension import Extension
from .embeddings import check_embeddings, unit_embeddings
from .kmeans import KMeansSettings, ReadRows, backend, cluster_rows
from .random_order import derived_seed, in_random_order

_MOST_CLUSTERS = 100  # the paper's
_ROWS_PER_CLUSTER = 100  # a budget of 5 % then takes 5 of each


def s2l(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Choose rows by their loss trajectories.

    Args:
        budget: rows, at most as many as there are candidates.
    """
    read_rows = unit_embeddings(candidates) if subset.clusters == "embeddings" else candidates.read_losses
    return choose_from_clusters(SourceClusters(candidates, read_rows, subset, seed), subset, budget, seed)


def check_clusterable(candidates: Candidates, subset: SubsetConfig) -> None:
    """Raises: FileNotFoundError, ValueError if what is to be clustered is not there or does not fit."""
    if subset.clusters == "embeddings":
        check_embeddings(candidates, subset)
        check_fit(candidates, unit_embeddings(candidates), subset)
    else:
        check_fit(candidates, candidates.read_losses, subset)


def check_fit(candidates: Candidates, read_rows: ReadRows, subset: SubsetConfig) -> None:
    """Refuse an extension by other numbers than the subset to extend was clustered by.

    Raises: ValueError.
    """
    if candidates.stored is None:
        return
    extension = Extension(candidates.stored)
    extension.check_dimensions(read_rows(slice(0, 1)).shape[1])
    for name, position_m in _parts(subset, candidates):
        if name in candidates.stored.numbers:
            read_part = _of_part(read_rows, position_m, len(candidates.rows))
            extension.assign(name, candidates.rows[position_m], read_part)
    extension.fit()


def num_clusters_of(subset: SubsetConfig, candidates: Candidates) -> int:
    """K: the given one, or one that follows from the pool.

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
    return int(np.minimum(_part_sizes(subset, candidates), num_clusters_of(subset, candidates)).sum())


def _parts(subset: SubsetConfig, candidates: Candidates) -> Iterator[tuple[str, np.ndarray]]:
    """Name and positions of what is clustered by itself: the sources that have rows, or all rows."""
    if subset.per_source:
        named = zip(candidates.source_names, candidates.positions_by_source(), strict=True)
        yield from ((name, position_m) for name, position_m in named if len(position_m))
    else:
        yield "", np.arange(len(candidates.rows), dtype=np.int32)


def _part_sizes(subset: SubsetConfig, candidates: Candidates) -> np.ndarray:
    """Rows of each part that is clustered by itself."""
    return np.bincount(candidates.source_codes_n) if subset.per_source else np.array([len(candidates.rows)])


class SourceClusters:
    """Clusters the candidates of one source after the other, each apart.

    Cluster numbers are unique over all sources. Those of the first source (by name) come first,
    inside a source they follow the clusters' lowest rows.
    Where a subset is extended, its clusters keep their numbers and come before all others.
    """

    def __init__(self, candidates: Candidates, read_rows: ReadRows, subset: SubsetConfig, seed: int):
        """Nothing is clustered yet.

        Args:
            read_rows: what is clustered, by position among the candidates.
            seed: of k-means.
        """
        self.candidates = candidates
        self._read_rows = read_rows
        self._settings = KMeansSettings.of(subset, num_clusters_of(subset, candidates))
        self._seed = seed
        self._extension = None if candidates.stored is None else Extension(candidates.stored)
        self._centroids = [] if candidates.stored is None else [candidates.stored.centroids_KT]
        self._num_clusters = sum(map(len, self._centroids))

    def cluster(self, source: str, position_m: np.ndarray) -> np.ndarray:
        """int32 (m,): the cluster of each of these candidates."""
        read_part = _of_part(self._read_rows, position_m, len(self.candidates.rows))
        if self._extension is not None and source in self._extension.stored.numbers:
            return self._extension.assign(source, self.candidates.rows[position_m], read_part)
        seed = derived_seed(self._seed, "k-means", source)
        cluster_m, centroids_KT = cluster_rows(read_part, len(position_m), self._settings, seed)
        cluster_m += self._num_clusters
        self._num_clusters += len(centroids_KT)
        self._centroids.append(centroids_KT)
        return cluster_m

    def choice(self, order: np.ndarray, clusters_N: np.ndarray) -> Choice:
        """What was chosen, with the centroids and a word on rows that joined stored clusters."""
        choice = Choice(self.candidates.rows[order], clusters_N, np.concatenate(self._centroids), backend())
        fit = None if self._extension is None else self._extension.fit()
        if fit is None:
            return choice
        words, fits = fit
        return replace(choice, remarks=(words,)) if fits else replace(choice, warnings=(words,))


def choose_from_clusters(clusters: SourceClusters, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Cluster the candidates, in each source or over all of them, and take turns over the clusters.

    Args:
        seed: of the random order of the rows.
    """
    candidates = clusters.candidates
    key_n = candidates.random_keys(seed)
    clusters_N = np.full(candidates.num_examples, -1, np.int32)
    orders = []
    for source, position_m in _parts(subset, candidates):
        cluster_m = clusters.cluster(source, position_m)
        clusters_N[candidates.rows[position_m]] = cluster_m
        cluster_m -= cluster_m.min()  # numbered from 0 again: the groups of this source alone
        members = positions_by_group(cluster_m, int(cluster_m.max()) + 1)
        del cluster_m  # of a hundred million rows each array counts
        members = [in_random_order(position_m[places], key_n) for places in members if len(places)]
        orders.append(take_turns(members, key_n, subset.min_cluster_size))
    return clusters.choice(take_turns(orders, key_n)[:budget], clusters_N)


def take_turns(groups: list[np.ndarray], key_n: np.ndarray, min_size: int = 1) -> np.ndarray:
    """Merge groups of positions, each in an order of its own, into one order.

    In every turn each group that has any left gives its next one, larger groups first.
    Of groups of equal size the one that holds the lowest key comes first.
    Groups smaller than `min_size` come after all others, in the same manner. With arrays of all positions'
    groups, of the groups' sizes and lowest keys, and of each position's place in its group:

        by_turn = np.lexsort((lowest[group], -size[group], place, size[group] < min_size))

    At ten million rows, sorting so takes eight times as long as what is done here.

    The first B positions are the water-filling of budget B. With the groups ascending by size, the k-th of K
    gives min(its size, what is left // (K - k + 1)). So n groups of one row each are served exactly like one
    group of n rows in the order of their keys.

    Args:
        groups: integers, all disjoint, none empty.
        key_n: uint64 (n,).
        min_size: of the groups that are not passed over.

    Returns:
        All positions of all groups.
    """
    if len(groups) == 1:
        return groups[0]
    lowest_key = [key_n[group].min() for group in groups]
    # Ascending, so of equal sizes the highest key is first: each turn goes through the groups from the end.
    ascending = sorted(range(len(groups)), key=lambda number: (len(groups[number]), ~lowest_key[number]))
    large = [groups[number] for number in ascending if len(groups[number]) >= min_size]
    small = [groups[number] for number in ascending if len(groups[number]) < min_size]
    order = np.empty(sum(map(len, groups)), groups[0].dtype)
    num_taken = 0
    for remaining in (large, small):
        num_given = 0  # by each group that has rows left
        while remaining:
            size = len(remaining[0])  # as long as the smallest lasts, all take turns
            num_turns = size - num_given
            end = num_taken + num_turns * len(remaining)
            turns = order[num_taken:end].reshape(num_turns, len(remaining))
            for place, group in enumerate(reversed(remaining)):
                turns[:, place] = group[num_given:size]
            num_taken = end
            num_given = size
            remaining = [group for group in remaining if len(group) > size]
    return order


def _of_part(read_rows: ReadRows, position_m: np.ndarray, num_candidates: int) -> ReadRows:
    """The rows of one source by their place in it.

    All sources together are read as they are, which saves a copy.
    """
    if len(position_m) == num_candidates:
        return read_rows
    return lambda piece: read_rows(position_m[piece])
