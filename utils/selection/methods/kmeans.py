"""k-means over loss trajectories, bit-identical at any thread count and on any x86 CPU with AVX2 or better.

faiss does the work. Left to itself it computes distances of many rows through OpenBLAS, whose rounding
depends on CPU and thread count, or in kernels that differ between AVX2 and AVX-512. Up to 32 dimensions
it has kernels of its own. They need no BLAS and are several times faster than its plain sums of squared
differences.

With faiss-gpu installed the GPUs do it. Their clusters agree with the CPU's to rounding only,
and the manifest says which it was.

Legend: n rows, m some of them, T checkpoints (or d dimensions of embeddings), K clusters.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from ...config.names import KMeansInit
from ...config.schema import SubsetConfig
from .random_order import sample_positions

_NEVER = 2**31 - 1  # more rows than faiss would ever hand to BLAS
_KERNEL_DIMENSIONS = 32
_ROWS_AT_ONCE = 2**18
INIT_METHODS = {
    "random": faiss.ClusteringInitMethod_RANDOM,
    "kmeans++": faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
}

# Rows m -> float32 (m, T). Asked piece by piece: a hundred million rows never are in memory at once.
ReadRows = Callable[[np.ndarray | slice], np.ndarray]


@dataclass(frozen=True)
class KMeansSettings:
    """What the clusters depend on besides rows and seed. The manifest of a subset records each of them.

    Attributes:
        num_clusters: at most so many.
        max_points_per_centroid: centroids are fitted on a random sample of so many rows per cluster at most.
            None fits them on all rows. Every row is assigned in either case.
        num_restarts: k-means runs this often and the tightest result counts.
    """

    num_clusters: int
    max_points_per_centroid: int | None
    iterations: int
    init: KMeansInit
    num_restarts: int

    @classmethod
    def of(cls, subset: SubsetConfig, num_clusters: int) -> "KMeansSettings":
        return cls(
            num_clusters=num_clusters,
            max_points_per_centroid=subset.max_points_per_centroid,
            iterations=subset.iterations,
            init=subset.init,
            num_restarts=subset.num_restarts,
        )


@contextlib.contextmanager
def reproducible_faiss(num_dimensions: int = _NEVER) -> Iterator[None]:
    """Distances in AVX2 without BLAS. faiss's own global settings are restored afterwards.

    Where there is no AVX2 (another processor, or FAISS_SIMD_LEVEL says so) the level stays as it is,
    and `backend` names it. The number of threads is left alone: each row's distances and each centroid's sum
    are computed by one thread, in row order.
    """
    blas_threshold = faiss.cvar.distance_compute_blas_threshold
    simd_level = faiss.SIMDConfig.get_level()
    beyond_avx2 = (faiss.SIMDLevel_AVX512, faiss.SIMDLevel_AVX512_SPR, faiss.SIMDLevel_AVX512_VPOPCNT)
    try:
        if simd_level in beyond_avx2 and faiss.SIMDConfig.is_simd_level_available(faiss.SIMDLevel_AVX2):
            faiss.SIMDConfig.set_level(faiss.SIMDLevel_AVX2)
        has_kernel = (
            num_dimensions <= _KERNEL_DIMENSIONS and faiss.SIMDConfig.get_level() == faiss.SIMDLevel_AVX2
        )
        faiss.cvar.distance_compute_blas_threshold = 0 if has_kernel else _NEVER
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = blas_threshold
        faiss.SIMDConfig.set_level(simd_level)


def backend() -> dict[str, Any]:
    """What computes the clusters, for the manifest."""
    with reproducible_faiss():
        level = faiss.SIMDConfig.get_level_name()
    return {"library": f"faiss {faiss.__version__}", "simd_level": level, "gpus": num_gpus()}


def cluster_rows(
    read_rows: ReadRows, num_rows: int, settings: KMeansSettings, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster rows by Euclidean distance: each belongs to its nearest centroid, ties to the lowest.

    Up to `num_clusters` distinct rows are one cluster each, without k-means. Otherwise there may be fewer
    clusters than asked for (a centroid that ends without rows is none), never more.

    Args:
        read_rows: rows by position or slice, finite.
        num_rows: n >= 1.
        seed: any integer >= 0, of which faiss takes the low 31 bits.

    Returns:
        int32 (n,), clusters numbered from 0 in the order of their lowest rows (not by faiss's numbering),
        and float32 (K, T), their centroids.
    """
    assert 1 <= num_rows < _NEVER
    num_clusters = settings.num_clusters
    distinct_KT = _distinct_rows(read_rows, num_rows, num_clusters)
    if distinct_KT is not None:
        return _number_by_lowest_row(_equal_rows(read_rows, num_rows, distinct_KT), distinct_KT)
    sample_size = min(num_rows, num_clusters * (settings.max_points_per_centroid or num_rows))
    is_sampled = sample_size < num_rows
    training_mT = read_rows(sample_positions(num_rows, sample_size, seed) if is_sampled else slice(None))
    with reproducible_faiss(training_mT.shape[1]):
        kmeans = faiss.Kmeans(
            training_mT.shape[1],
            num_clusters,
            niter=settings.iterations,
            nredo=settings.num_restarts,
            init_method=INIT_METHODS[settings.init],
            seed=seed & 0x7FFFFFFF,
            max_points_per_centroid=_NEVER,  # the sample is ours
            min_points_per_centroid=1,  # only silences a warning
            gpu=num_gpus() > 0,
        )
        kmeans.train(training_mT)
    assert kmeans.centroids is not None
    label_n = nearest_centroids(read_rows, num_rows, kmeans.centroids)[0]
    return _number_by_lowest_row(label_n, kmeans.centroids)


def nearest_centroids(
    read_rows: ReadRows, num_rows: int, centroids_KT: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centroid of each row, ties to the lowest.

    Returns:
        int32 (n,), the centroids, and float32 (n,), the squared distances.
    """
    label_n = np.empty(num_rows, np.int32)
    distance_n = np.empty(num_rows, np.float32)
    with reproducible_faiss(centroids_KT.shape[1]):
        index = faiss.IndexFlatL2(centroids_KT.shape[1])
        index = faiss.index_cpu_to_all_gpus(index) if num_gpus() else index
        index.add(centroids_KT)
        for start in range(0, num_rows, _ROWS_AT_ONCE):
            piece = slice(start, min(start + _ROWS_AT_ONCE, num_rows))
            distance_m1, label_m1 = index.search(read_rows(piece), 1)
            label_n[piece] = label_m1[:, 0]
            distance_n[piece] = distance_m1[:, 0]
    assert label_n.min() >= 0, "a row without a nearest centroid: its distances were not finite"
    return label_n, np.maximum(distance_n, 0, out=distance_n)  # rounding may leave it below


def num_gpus() -> int:
    """How many GPUs k-means uses: all that are visible, with faiss-gpu, and none without it."""
    return faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0


def _pieces(read_rows: ReadRows, num_rows: int) -> Iterator[np.ndarray]:
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        yield read_rows(slice(start, min(start + _ROWS_AT_ONCE, num_rows))) + np.float32(0)  # -0.0 is 0.0


def _distinct_rows(read_rows: ReadRows, num_rows: int, at_most: int) -> np.ndarray | None:
    """(K, T): the distinct rows, if there are no more than `at_most`."""
    distinct_KT = None
    for losses_mT in _pieces(read_rows, num_rows):
        # Counting one checkpoint's distinct losses takes a hundredth of the time and nearly always is enough.
        if len(np.unique(losses_mT[:, 0])) > at_most:
            return None
        distinct_KT = np.unique(
            losses_mT if distinct_KT is None else np.concatenate([distinct_KT, losses_mT]), axis=0
        )
        if len(distinct_KT) > at_most:
            return None
    return distinct_KT


def _equal_rows(read_rows: ReadRows, num_rows: int, distinct_KT: np.ndarray) -> np.ndarray:
    """int32 (n,): which of the distinct rows each row is."""
    labels = []
    num_distinct = len(distinct_KT)
    for losses_mT in _pieces(read_rows, num_rows):
        _, label_m = np.unique(np.concatenate([distinct_KT, losses_mT]), axis=0, return_inverse=True)
        labels.append(label_m[num_distinct:].astype(np.int32))
    return np.concatenate(labels)


def _number_by_lowest_row(label_n: np.ndarray, centroids_KT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels, changed in place, and the centroids that have rows."""
    pieces = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(label_n), _ROWS_AT_ONCE)]
    lowest_row_K = np.full(len(centroids_KT), len(label_n))
    for piece in reversed(pieces):
        label_m = label_n[piece]
        # Of a label that is there several times numpy keeps what is assigned last: here the lowest row.
        lowest_row_K[label_m[::-1]] = np.arange(piece.start, piece.start + len(label_m))[::-1]
    used = np.argsort(lowest_row_K)[: np.count_nonzero(lowest_row_K < len(label_n))]
    number_K = np.full(len(centroids_KT), -1, np.int32)
    number_K[used] = np.arange(len(used), dtype=np.int32)
    for piece in pieces:
        label_n[piece] = number_K[label_n[piece]]
    return label_n, np.ascontiguousarray(centroids_KT[used], np.float32)
