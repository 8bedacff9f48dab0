"""SmallToLarge (arXiv:2403.07384), Algorithm 1: cluster the loss trajectories, spend the budget evenly on the clusters.

    Algorithm 1, of the paper                           here
    cluster the trajectories into C_1 ... C_K           cluster_rows
    sort the clusters by size, ascending                take_turns
    for k = 1 ... K:
        R_k = (B - |S|) / (K - k + 1)                   take_turns
        S += all of C_k if |C_k| <= R_k,
             else R_k of C_k at random                  in_random_order

The algorithm is written for one budget B. Taking turns, one row of each cluster that has rows left, puts all rows into
one order whose first B rows are what Algorithm 1 takes, for every B: an equal share for each cluster, small ones spent.
Therefore a smaller subset is contained in a larger one, and one clustering serves all budgets.

Deviations, each for a reason:
- `per_source` (preset released): sources take turns by the same rule and each source is clustered by itself, as the
  released code does; the paper's Algorithm 1 knows no sources.
- `min_cluster_size: 3` (preset released): smaller clusters are passed over until all others are spent, as in the
  released code; 1 (preset paper) makes no exception.
- R_k is rounded down, so in the last, incomplete turn the larger clusters are served. Clusters of equal size come in a
  random order, so that what rounding leaves over does not always go to the rows at the end of the pool.
- `clusters: embeddings` clusters the last checkpoint's mean response embeddings, brought to unit length, instead.

Legend: N examples of the pool, n candidates, m those of one source, K clusters, T checkpoints.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice, positions_by_group
from ..extension import Extension
from .embeddings import check_embeddings, unit_embeddings
from .kmeans import ReadRows, backend, cluster_rows
from .random_order import derived_seed, in_random_order

_MOST_CLUSTERS = 100  # the paper's
_ROWS_PER_CLUSTER = 100  # a budget of 5 % then takes 5 of each


def s2l(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Choose rows by their loss trajectories. Args: budget: rows, at most as many as there are candidates."""
    if subset.clusters == "embeddings":
        return choose_from_clusters(candidates, unit_embeddings(candidates), subset, budget, seed)
    return choose_from_clusters(candidates, candidates.read_losses, subset, budget, seed)


def check_clusterable(candidates: Candidates, subset: SubsetConfig) -> None:
    """Raises: FileNotFoundError, ValueError if what is to be clustered is not there or does not fit."""
    if subset.clusters == "embeddings":
        check_embeddings(candidates, subset)
        check_fit(candidates, unit_embeddings(candidates), subset)
    else:
        check_fit(candidates, candidates.read_losses, subset)


def check_fit(candidates: Candidates, read_rows: ReadRows, subset: SubsetConfig) -> None:
    """Raises: ValueError if the clusters of the subset that is extended, where there is one, were made of something else."""
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

    One cluster for every hundred rows of the largest source (of the pool, if sources are not clustered apart), at most
    the paper's 100. Sources share a budget evenly, so one K gives about as many rows of a cluster in each of them. K does
    not depend on the budget: so a smaller subset is contained in a larger one, also where each is a run of its own.
    """
    if subset.num_clusters is not None:
        return subset.num_clusters
    return min(_MOST_CLUSTERS, max(1, int(_part_sizes(subset, candidates).max()) // _ROWS_PER_CLUSTER))


def most_clusters(subset: SubsetConfig, candidates: Candidates) -> int:
    """How many clusters there may be in all: a source has no more of them than rows."""
    return int(np.minimum(_part_sizes(subset, candidates), num_clusters_of(subset, candidates)).sum())


def _parts(subset: SubsetConfig, candidates: Candidates) -> Iterator[tuple[str, np.ndarray]]:
    """Name and positions of each part that is clustered by itself: the sources that have rows, or all rows."""
    if subset.per_source:
        named = zip(candidates.source_names, candidates.positions_by_source(), strict=True)
        yield from ((name, position_m) for name, position_m in named if len(position_m))
    else:
        yield "", np.arange(len(candidates.rows), dtype=np.int32)


def _part_sizes(subset: SubsetConfig, candidates: Candidates) -> np.ndarray:
    """Rows of each part that is clustered by itself."""
    return np.bincount(candidates.source_codes_n) if subset.per_source else np.array([len(candidates.rows)])


def choose_from_clusters(
    candidates: Candidates,
    read_rows: ReadRows,
    subset: SubsetConfig,
    budget: int,
    seed: int,
    kmeans_seed: int | None = None,
) -> Choice:
    """Cluster candidates, in each source or over all of them, and take turns over the clusters.

    Cluster numbers are unique over all sources: those of the first source (by name) come first, inside a source they
    follow the clusters' lowest rows.

    Args:
        read_rows: what is clustered, by position among the candidates.
        kmeans_seed: of k-means alone, so that the random order of the rows stays that of `seed`; default: `seed`.
    """
    key_n = candidates.random_keys(seed)
    num_clusters = num_clusters_of(subset, candidates)
    clusters_N = np.full(candidates.num_examples, -1, np.int32)
    stored = candidates.stored
    extension = None if stored is None else Extension(stored)
    orders, centroids = [], [] if stored is None else [stored.centroids_KT]
    num_made = 0 if stored is None else len(stored.centroids_KT)
    for name, position_m in _parts(subset, candidates):
        rows_m, read_part = candidates.rows[position_m], _of_part(read_rows, position_m, len(candidates.rows))
        if extension is not None and name in extension.stored.numbers:
            cluster_m = extension.assign(name, rows_m, read_part)
        else:
            cluster_m, centroids_KT = cluster_rows(
                read_part,
                len(position_m),
                num_clusters,
                derived_seed(seed if kmeans_seed is None else kmeans_seed, "k-means", name),
                subset.iterations,
                subset.init,
                subset.num_restarts,
                subset.max_points_per_centroid,
            )
            cluster_m += num_made
            num_made += len(centroids_KT)
            centroids.append(centroids_KT)
        clusters_N[rows_m] = cluster_m
        cluster_m -= cluster_m.min()
        clusters = positions_by_group(cluster_m, int(cluster_m.max()) + 1)
        del cluster_m  # of a hundred million rows each array counts
        clusters = [in_random_order(position_m[cluster], key_n) for cluster in clusters if len(cluster)]
        orders.append(take_turns(clusters, key_n, subset.min_cluster_size))
    order = take_turns(orders, key_n)[:budget]
    choice = Choice(candidates.rows[order], clusters_N, np.concatenate(centroids), backend())
    fit = None if extension is None else extension.fit()
    if fit is None:
        return choice
    words, fits = fit
    return replace(choice, remarks=(words,)) if fits else replace(choice, warnings=(words,))


def take_turns(groups: list[np.ndarray], key_n: np.ndarray, min_size: int = 1) -> np.ndarray:
    """Merge groups of positions, each in an order of its own, into one order: in every turn each group that has any left
    gives its next one, larger groups first; of groups of equal size the one that holds the lowest key first.

    Its first B positions are the water-filling of budget B: with the groups ascending by size, the k-th of K gives
    min(its size, what is left // (K - k + 1)). Groups smaller than `min_size` come after all others, in the same manner.
    So n groups of one row each are served exactly like one group of n rows in the order of their keys.

    Args: groups: integers, all disjoint, none empty; key_n: uint64 (n,).

    Returns: all positions of all groups.
    """
    if len(groups) == 1:
        return groups[0]
    lowest_key = [key_n[group].min() for group in groups]
    ascending = sorted(range(len(groups)), key=lambda number: (len(groups[number]), ~lowest_key[number]))
    order, num_taken = np.empty(sum(map(len, groups)), groups[0].dtype), 0
    for served in (
        [groups[number] for number in ascending if len(groups[number]) >= min_size],
        [groups[number] for number in ascending if len(groups[number]) < min_size],
    ):
        given, remaining = 0, served
        while remaining:
            size = len(remaining[0])  # as long as the smallest lasts, all take turns
            turns = order[num_taken : num_taken + (size - given) * len(remaining)].reshape(
                size - given, len(remaining)
            )
            for place, group in enumerate(reversed(remaining)):
                turns[:, place] = group[given:size]
            num_taken += turns.size
            given, remaining = size, [group for group in remaining if len(group) > size]
    return order


def _of_part(read_rows: ReadRows, position_m: np.ndarray, num_candidates: int) -> ReadRows:
    """The rows of one source by their place in it; of all sources together as they are, which saves a copy."""
    if len(position_m) == num_candidates:
        return read_rows
    return lambda piece: read_rows(position_m[piece])
