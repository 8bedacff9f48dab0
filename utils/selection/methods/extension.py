"""New rows of a pool join the clusters of a subset that is there. Rows that were chosen stay chosen.

Legend: m rows of one source (or of the whole pool), K clusters, T checkpoints.
"""

import numpy as np

from ..candidates import StoredClusters
from .kmeans import ReadRows, nearest_centroids

_QUANTILE = 0.99  # of the old rows' distances to their centroid
_MANY_BEYOND = 0.05  # of the new rows: five times what the old ones have
_SURELY = 0.01  # more of them than _MANY_BEYOND is no accident if that happens by chance less often
_AGREEMENT = 0.99  # of old rows that are nearest to their own cluster's centroid


class Extension:
    """Assigns rows to stored clusters and watches how well they fit."""

    def __init__(self, stored: StoredClusters):
        self.stored = stored
        self._num_old = 0
        self._num_agreeing = 0
        self._num_new = 0
        self._num_beyond = 0

    def check_dimensions(self, num_dimensions: int) -> None:
        """Refuse rows of another length than the stored centroids. Raises: ValueError."""
        num_stored = self.stored.centroids_KT.shape[1]
        if num_dimensions != num_stored:
            raise ValueError(
                f"subset.extend: found {num_dimensions} numbers a row to cluster by (one a checkpoint, or "
                f"of its embedding), expected {num_stored} as in the subset to extend: "
                "name its checkpoints in subset.steps"
            )

    def assign(self, source: str, rows_m: np.ndarray, read_rows: ReadRows) -> np.ndarray:
        """int32 (m,): old rows keep their cluster, new ones get the nearest centroid of their source."""
        numbers_K = self.stored.numbers[source]
        label_m, distance_m = nearest_centroids(read_rows, len(rows_m), self.stored.centroids_KT[numbers_K])
        cluster_m = numbers_K[label_m]
        is_old_m = rows_m < len(self.stored.clusters)
        is_old_m[is_old_m] = self.stored.clusters[rows_m[is_old_m]] >= 0
        old_cluster = self.stored.clusters[rows_m[is_old_m]]
        self._num_old += len(old_cluster)
        self._num_agreeing += int((cluster_m[is_old_m] == old_cluster).sum())
        cluster_m[is_old_m] = old_cluster
        if is_old_m.any():
            usual = np.quantile(distance_m[is_old_m], _QUANTILE)
            self._num_new += int((~is_old_m).sum())
            self._num_beyond += int((distance_m[~is_old_m] > usual).sum())
        return cluster_m

    def fit(self) -> tuple[str, bool] | None:
        """How the new rows fit, in words, and whether well. None where there are none.

        Raises:
            ValueError: if the old rows do not fit their own clusters.
        """
        if self._num_agreeing < _AGREEMENT * self._num_old:
            raise ValueError(
                f"subset.extend: found {self._num_agreeing:,} of {self._num_old:,} old rows nearest to the "
                "centroid of their cluster, expected all: "
                "these trajectories are not those the subset was made from. "
                "Score the new pool with the same checkpoints of the same proxy"
            )
        if self._num_new == 0:
            return None
        share = self._num_beyond / self._num_new
        words = (
            f"{self._num_new:,} new rows joined the clusters, and {100 * share:.1f} % of them "
            "are farther from their centroid than 99 % of the old rows"
        )
        if by_chance(self._num_beyond, self._num_new) >= _SURELY:
            return words, True
        return f"{words}: they do not fit the clusters, better choose anew (without subset.extend)", False


def by_chance(num_beyond: int, num_new: int) -> float:
    """How likely so many or more of the new rows are that far away by chance, each with `_MANY_BEYOND`.

    3 of 50 rows say nothing, 3,000 of 50,000 a lot.
    """
    from scipy.special import bdtrc  # a tenth of a second to import, and hardly ever needed

    return float(bdtrc(num_beyond - 1, num_new, _MANY_BEYOND)) if num_beyond else 1.0
