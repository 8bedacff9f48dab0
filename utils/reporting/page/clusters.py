"""Each cluster of a subset: its mean trajectory and band, its size, what was taken of it, its sources

Legend: N rows of the pool, n clustered rows, T checkpoints, K clusters.
"""

from dataclasses import dataclass

import numpy as np

from .facts import LossFacts, SubsetFacts

BAND = (0.1, 0.9)  # quantiles
MOST_CLUSTERS = 2000  # that a page holds, the largest


@dataclass(frozen=True)
class ClusterTable:
    """Clusters, the largest first.

    Attributes:
        numbers: int32 (K,), as in clusters.npy.
        sizes: int64 (K,), rows, as composition.json says.
        taken: int64 (K,), of them in the subset.
        sources: of each, (name, rows, rows taken), the commonest first.
        mean_KT: float32, mean losses. (K, 0) where there are no trajectories.
        low_KT: float32, lower end of `BAND`.
        high_KT: float32, upper end.
        slopes: float32 (K,), nats per checkpoint of the mean trajectory, by least squares.
        num_left_out: smaller clusters that are not in the table.
    """

    numbers: np.ndarray
    sizes: np.ndarray
    taken: np.ndarray
    sources: list[list[tuple[str, int, int]]]
    mean_KT: np.ndarray
    low_KT: np.ndarray
    high_KT: np.ndarray
    slopes: np.ndarray
    num_left_out: int

    @property
    def has_losses(self) -> bool:
        return self.mean_KT.shape[1] > 0


def shares_of_commonest(sources: list[list[tuple[str, int, int]]], sizes: np.ndarray) -> np.ndarray:
    commonest = np.array([of_cluster[0][1] for of_cluster in sources], np.float64)
    return commonest / np.maximum(sizes, 1)


def members_of_clusters(subset: SubsetFacts) -> dict[int, list[tuple[str, int, int]]]:
    """Cluster -> (source, rows, rows taken), the commonest first: composition.json by cluster."""
    members: dict[int, list[tuple[str, int, int]]] = {}
    for source, values in subset.composition["sources"].items():
        for number, (rows, taken) in values["clusters"].items():
            members.setdefault(int(number), []).append((source, rows, taken))
    for of_cluster in members.values():
        of_cluster.sort(key=lambda entry: (-entry[1], entry[0]))
    return members


def cluster_table(subset: SubsetFacts, losses: LossFacts | None) -> ClusterTable:
    """The clusters of a subset that has some."""
    members = members_of_clusters(subset)
    sizes = {number: sum(rows for _, rows, _ in entries) for number, entries in members.items()}
    order = sorted(members, key=lambda number: (-sizes[number], number))
    shown = order[:MOST_CLUSTERS]
    num_checkpoints = 0 if losses is None else len(losses.columns)
    bands = np.full((3, len(shown), num_checkpoints), np.nan, np.float32)
    if losses is not None:
        bands = _bands(subset.clusters_N, np.array(shown, np.int32), losses)
    low_KT, mean_KT, high_KT = bands
    return ClusterTable(
        numbers=np.array(shown, np.int32),
        sizes=np.array([sizes[number] for number in shown], np.int64),
        taken=np.array([sum(taken for _, _, taken in members[number]) for number in shown], np.int64),
        sources=[members[number] for number in shown],
        mean_KT=mean_KT,
        low_KT=low_KT,
        high_KT=high_KT,
        slopes=slopes_of(mean_KT),
        num_left_out=len(order) - len(shown),
    )


def slopes_of(losses_mT: np.ndarray) -> np.ndarray:
    """float32 (m,): the slope of each trajectory by least squares over the checkpoints, 0 of a single one."""
    num_checkpoints = losses_mT.shape[1]
    if num_checkpoints < 2:
        return np.zeros(len(losses_mT), np.float32)
    place_T = np.arange(num_checkpoints) - (num_checkpoints - 1) / 2
    return (losses_mT @ place_T / (place_T @ place_T)).astype(np.float32)


def _bands(clusters_N: np.ndarray, numbers: np.ndarray, losses: LossFacts) -> np.ndarray:
    """float32 (3, K, T): lower quantile, mean and upper quantile of the losses of each cluster."""
    place_of = np.full(int(clusters_N.max()) + 1, -1, np.int32)
    place_of[numbers] = np.arange(len(numbers))
    rows_n = np.flatnonzero(clusters_N >= 0)
    place_n = place_of[clusters_N[rows_n]]
    rows_n, place_n = rows_n[place_n >= 0], place_n[place_n >= 0]
    size_K = np.bincount(place_n, minlength=len(numbers))
    start_K = np.concatenate([[0], np.cumsum(size_K)[:-1]])
    bands = np.empty((3, len(numbers), len(losses.columns)), np.float32)
    for column, losses_N in enumerate(losses.columns):
        loss_n = np.asarray(losses_N)[rows_n].astype(np.float64)
        order_n = np.lexsort((loss_n, place_n))
        sorted_n = loss_n[order_n]
        bands[0, :, column] = _quantiles(sorted_n, start_K, size_K, BAND[0])
        bands[1, :, column] = np.bincount(place_n, loss_n, len(numbers)) / size_K
        bands[2, :, column] = _quantiles(sorted_n, start_K, size_K, BAND[1])
    return bands


def _quantiles(sorted_n: np.ndarray, start_K: np.ndarray, size_K: np.ndarray, share: float) -> np.ndarray:
    """As np.quantile does it, of pieces that are each sorted."""
    position_K = (size_K - 1) * share
    below_K = np.floor(position_K).astype(np.int64)
    above_K = np.minimum(below_K + 1, size_K - 1)
    low_K, high_K = sorted_n[start_K + below_K], sorted_n[start_K + above_K]
    return low_K + (high_K - low_K) * (position_K - below_K)
