"""SmallToLarge, Algorithm 1: cluster the loss trajectories, spend the budget evenly on the clusters.

    Algorithm 1 of arXiv:2403.07384                     here
    cluster the trajectories into C_1 ... C_K           cluster_rows
    sort the clusters by size, ascending                take_turns
    for k = 1 ... K:
        R_k = (B - |S|) / (K - k + 1)                   take_turns
        S += all of C_k if |C_k| <= R_k,
             else R_k of C_k at random                  pick_keys

The algorithm is written for one budget B. Here clusters take turns: in each turn every cluster
that has rows left gives one. That puts all rows into one order. Its first B rows are what Algorithm 1 takes,
for every B: small clusters are spent, the others have given equal shares.
So a smaller subset is contained in a larger one, and one clustering serves all budgets.

Deviations, each for a reason:
- `per_source` (preset released): each source is clustered by itself, as in the released code, and sources
  take turns by the same rule. The paper's Algorithm 1 knows no sources.
- `min_cluster_size: 3` (preset released): smaller clusters are passed over until all others are spent,
  as in the released code. 1 (preset paper) makes no exception.
- `source_exponent` and `cluster_exponent` share the budget out between evenly and in proportion (`turns`).
- R_k is rounded down, so in the last, incomplete turn the larger clusters are served. Clusters of equal size
  come in a random order, so that what rounding leaves over does not always go to the end of the pool.
- `pick` takes the rows of a cluster in another order than the random one.
- `features` clusters what is made of the losses, or embeddings, instead of the losses.

Legend: N examples of the pool, n candidates, m those of one source, K clusters, T checkpoints.
"""

from dataclasses import replace

import numpy as np

from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice
from ..groups import Groups
from .embeddings import check_embeddings
from .extension import Extension
from .features import check_features, read_features
from .kmeans import KMeansSettings, ReadRows, backend, cluster_rows
from .num_clusters import most_that_agree, num_clusters_of
from .pick import check_pick, pick_keys
from .random_order import derived_seed, put_in_key_order
from .turns import cluster_weights, source_weights, take_turns


def s2l(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Choose rows by their loss trajectories.

    Args:
        budget: rows, at most as many as there are candidates.
    """
    clusters = SourceClusters(candidates, read_features(candidates, subset), subset, seed)
    return choose_from_clusters(clusters, subset, budget, seed)


def check_movement(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Refuse settings for which so many checkpoints are too few. Raises: ValueError."""
    check_pick(num_checkpoints, subset)
    check_features(num_checkpoints, subset)


def check_clusterable(candidates: Candidates, subset: SubsetConfig) -> None:
    """Raises: FileNotFoundError, ValueError if what is to be clustered is not there or does not fit."""
    if subset.features == "embeddings":
        check_embeddings(candidates, subset)
    check_fit(candidates, read_features(candidates, subset), subset)


def check_fit(candidates: Candidates, read_rows: ReadRows, subset: SubsetConfig) -> None:
    """Refuse an extension by other numbers than the subset to extend was clustered by.

    Raises: ValueError.
    """
    if candidates.stored is None:
        return
    extension = Extension(candidates.stored)
    extension.check_dimensions(read_rows(slice(0, 1)).shape[1])
    names, sources = _parts(subset, candidates)
    for source, name in enumerate(names):
        position_m = sources[source]
        if len(position_m) and name in candidates.stored.numbers:
            read_part = _of_part(read_rows, position_m, len(candidates.rows))
            extension.assign(name, candidates.rows[position_m], read_part)
    extension.fit()


def _parts(subset: SubsetConfig, candidates: Candidates) -> tuple[list[str], Groups]:
    """Names and positions of what is clustered by itself: the sources (some may be empty), or all rows."""
    if subset.per_source:
        return candidates.source_names, candidates.by_source()
    return [""], Groups.single(np.arange(len(candidates.rows), dtype=np.int32))


class SourceClusters:
    """Clusters the candidates of each source apart, or all of them.

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
        num_clusters = num_clusters_of(subset, candidates)
        self._finds_number = num_clusters == "auto"
        self._settings = KMeansSettings.of(subset, 1 if num_clusters == "auto" else num_clusters)
        self._seed = seed
        self._extension = None if candidates.stored is None else Extension(candidates.stored)

    def cluster(self, names: list[str], sources: Groups) -> tuple[np.ndarray, np.ndarray]:
        """Cluster all candidates.

        Returns:
            int32 (n,), the cluster of each, and float32 (K, T), the centroids.
        """
        stored = self.candidates.stored
        centroids = [] if stored is None else [stored.centroids_KT]
        numbers = [np.arange(len(centroids_KT)) for centroids_KT in centroids]
        num_clusters = sum(map(len, centroids))
        cluster_n = np.empty(len(self.candidates.rows), np.int32)
        # Of a million sources most have a single row. Those are a cluster each, and are read together.
        single_sources = []
        single_numbers = []
        for source, (name, size) in enumerate(zip(names, sources.sizes.tolist(), strict=True)):
            is_stored = stored is not None and name in stored.numbers
            if size == 0:
                continue
            if size == 1 and not is_stored:
                single_sources.append(source)
                single_numbers.append(num_clusters)
                num_clusters += 1
                continue
            position_m = sources[source]
            read_part = _of_part(self._read_rows, position_m, len(cluster_n))
            if is_stored:
                assert self._extension is not None
                cluster_n[position_m] = self._extension.assign(
                    name, self.candidates.rows[position_m], read_part
                )
            else:
                seed = derived_seed(self._seed, "k-means", name)
                settings = self._settings_of(read_part, size, seed)
                cluster_m, centroids_KT = cluster_rows(read_part, size, settings, seed)
                cluster_m += num_clusters
                cluster_n[position_m] = cluster_m
                centroids.append(centroids_KT)
                numbers.append(np.arange(num_clusters, num_clusters + len(centroids_KT)))
                num_clusters += len(centroids_KT)
        if single_sources:
            position_m = sources.position_n[sources.bounds[single_sources]]
            cluster_n[position_m] = single_numbers
            centroids.append(self._read_rows(position_m).astype(np.float32))
            numbers.append(np.array(single_numbers))
        return cluster_n, np.concatenate(centroids)[np.argsort(np.concatenate(numbers))]

    def _settings_of(self, read_part: ReadRows, size: int, seed: int) -> KMeansSettings:
        """Those of one source, whose number of clusters may be yet to be found."""
        if not self._finds_number:
            return self._settings
        return replace(self._settings, num_clusters=most_that_agree(read_part, size, self._settings, seed))

    def choice(self, order: np.ndarray, clusters_N: np.ndarray, centroids_KT: np.ndarray) -> Choice:
        """What was chosen, with a word on rows that joined stored clusters."""
        choice = Choice(self.candidates.rows[order], clusters_N, centroids_KT, backend())
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
    names, sources = _parts(subset, candidates)
    source_bounds = sources.bounds
    cluster_n, centroids_KT = clusters.cluster(names, sources)
    del sources  # of a hundred million rows each array counts
    clusters_N = cluster_n
    if len(candidates.rows) < candidates.num_examples:
        clusters_N = np.full(candidates.num_examples, -1, np.int32)
        clusters_N[candidates.rows] = cluster_n
    members = Groups.by_number(cluster_n, len(centroids_KT))
    put_in_key_order(members, pick_keys(candidates, subset, seed))
    key_n = candidates.random_keys(seed)  # breaks ties between groups of equal size
    # One source after the other, each in the turns of its clusters. Then turns of the sources.
    tier_K = (members.sizes < subset.min_cluster_size).astype(np.int64)
    if subset.per_source:
        tier_K += 2 * _source_of_each_cluster(candidates, members)
    num_rows = budget if len(names) == 1 else len(key_n)
    order = take_turns(members, key_n, num_rows, tier_K, cluster_weights(members, subset))
    if len(names) > 1:
        weight_S = source_weights(candidates, subset)
        order = take_turns(Groups(order, source_bounds), key_n, budget, weight_G=weight_S)
    return clusters.choice(order, clusters_N, centroids_KT)


def _source_of_each_cluster(candidates: Candidates, members: Groups) -> np.ndarray:
    """int64 (K,), 0 of an empty one. All members are of one source, so any of them says which."""
    source_K = np.zeros(len(members), np.int64)
    is_there_K = members.sizes > 0
    member = members.position_n[members.bounds[:-1][is_there_K]]
    source_K[is_there_K] = candidates.source_codes_n[member]
    return source_K


def _of_part(read_rows: ReadRows, position_m: np.ndarray, num_candidates: int) -> ReadRows:
    """The rows of one source by their place in it.

    All sources together are read as they are, which saves a copy.
    """
    if len(position_m) == num_candidates:
        return read_rows
    return lambda piece: read_rows(position_m[piece])
