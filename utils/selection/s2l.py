"""SmallToLarge (arXiv:2403.07384), Algorithm 1: cluster the loss trajectories, spend the budget evenly on the clusters.

    Algorithm 1, of the paper                           here
    cluster the trajectories into C_1 ... C_K           cluster_rows
    sort the clusters by size, ascending                water_fill
    for k = 1 ... K:
        R_k = (B - |S|) / (K - k + 1)                   water_fill
        S += all of C_k if |C_k| <= R_k,
             else R_k of C_k at random                  take_in_random_order

Deviations, each for a reason:
- `per_source` (preset released): the budget is first shared out over the sources by the same rule and each source is
  clustered by itself, as the released code does; the paper's Algorithm 1 knows no sources.
- `min_cluster_size: 3` (preset released): smaller clusters are passed over until all others are spent, as in the
  released code; 1 (preset paper) makes no exception.
- R_k is rounded down. Clusters of equal size come in a random order, so that what rounding leaves over does not
  always go to the rows at the end of the pool.
- The random order inside a cluster does not depend on the budget, so a smaller subset is contained in a larger one.

Legend: N examples of the pool, n candidates, m those of one source, G groups, K clusters.
"""

import numpy as np

from utils.config.schema import SubsetConfig
from utils.selection.candidates import Candidates, Choice
from utils.selection.kmeans import backend, cluster_rows
from utils.selection.random_order import derived_seed, random_keys, take_in_random_order


def s2l(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Choose `budget` rows by their loss trajectories. Args: budget: at most as many as there are candidates."""
    clusters_N = cluster_candidates(candidates, subset, seed)
    return Choice(spend(candidates, clusters_N, subset, budget, seed), clusters_N, backend())


def cluster_candidates(candidates: Candidates, subset: SubsetConfig, seed: int) -> np.ndarray:
    """Cluster the trajectories, per source or all together.

    Cluster numbers are unique over all sources: those of the first source (by name) come first, inside a source they
    follow the clusters' lowest rows.

    Returns: int32 (N,), -1 for rows that are no candidates.
    """
    clusters_N = np.full(candidates.num_examples, -1, np.int32)
    num_clusters = 0
    for name, rows_m in _parts(candidates, subset):
        if not len(rows_m):
            continue
        cluster_m = cluster_rows(
            candidates.losses(rows_m),
            subset.num_clusters,
            derived_seed(seed, "k-means", name),
            subset.iterations,
            subset.init,
            subset.num_restarts,
            subset.max_points_per_centroid,
        )
        clusters_N[rows_m] = num_clusters + cluster_m
        num_clusters += int(cluster_m.max()) + 1
    return clusters_N


def spend(candidates: Candidates, clusters_N: np.ndarray, subset: SubsetConfig, budget: int, seed: int) -> np.ndarray:
    """Share the budget out over sources (if per_source), then clusters, and take rows in the seeded random order.

    Returns: int64 (budget,), ascending row numbers.
    """
    key_N = random_keys(seed, candidates.num_examples)
    parts = _parts(candidates, subset)
    budgets = [budget]
    if subset.per_source:
        budgets = share_out(candidates.source_codes_n, key_N[candidates.rows], budget, len(parts)).tolist()
    chosen = []
    for (_, rows_m), part_budget in zip(parts, budgets, strict=True):
        if not len(rows_m):
            continue
        cluster_m = clusters_N[rows_m] - clusters_N[rows_m].min()
        quota_K = share_out(cluster_m, key_N[rows_m], part_budget, min_size=subset.min_cluster_size)
        chosen.append(rows_m[take_in_random_order(cluster_m, quota_K, key_N[rows_m])])
    return np.sort(np.concatenate(chosen))


def _parts(candidates: Candidates, subset: SubsetConfig) -> list[tuple[str, np.ndarray]]:
    """What is clustered by itself: (name, ascending rows) of each source, or of all candidates."""
    if not subset.per_source:
        return [("", candidates.rows)]
    return list(zip(candidates.source_names, candidates.rows_by_source(), strict=True))


def share_out(
    group_n: np.ndarray, key_n: np.ndarray, budget: int, num_groups: int = 0, min_size: int = 1
) -> np.ndarray:
    """Water-filling over groups of rows, groups of equal size in the random order of the keys.

    The group that holds the lowest key comes last among its equals, where rounding down leaves more: so n groups of
    one row each are served exactly like one group of n rows.

    Args: group_n: int (n,), group of each row; key_n: uint64 (n,); num_groups: at least this many (some may be empty).

    Returns: int64 (G,), quotas.
    """
    sizes_G = np.bincount(group_n, minlength=num_groups)
    lowest_key_G = np.full(len(sizes_G), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest_key_G, group_n, key_n)
    order_G = np.argsort(lowest_key_G, kind="stable")[::-1]
    quota_G = np.empty(len(sizes_G), np.int64)
    quota_G[order_G] = water_fill(sizes_G[order_G].tolist(), budget, min_size)
    return quota_G


def water_fill(sizes: list[int], budget: int, min_size: int = 1) -> list[int]:
    """Share a budget out over groups as evenly as their sizes allow: groups ascending by size (ties by lowest index),
    the k-th of K takes min(its size, what is left // (K - k + 1)).

    Groups smaller than `min_size` get nothing until all others are spent, then what is left in the same manner.

    Spends exactly min(budget, sum(sizes)). A larger budget lowers no quota: raising what is left by 1 raises
    min(size, left // m) by 0 or 1, and hands on what remains raised by 1 or 0; so one unit more of budget raises
    one quota by one, and the same holds for groups inside groups.

    Returns: quotas in the order of `sizes`.
    """
    ascending = sorted(range(len(sizes)), key=sizes.__getitem__)
    quotas = [0] * len(sizes)
    left = budget
    for groups in (
        [group for group in ascending if sizes[group] >= min_size],
        [group for group in ascending if sizes[group] < min_size],
    ):
        for position, group in enumerate(groups):
            quotas[group] = min(sizes[group], left // (len(groups) - position))
            left -= quotas[group]
    return quotas
