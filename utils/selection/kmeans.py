"""k-means over loss trajectories, bit-identical at any thread count and on any x86 CPU with AVX2 or better.

faiss does the work. Left to itself it computes distances of many rows through OpenBLAS, whose rounding depends on CPU
and thread count, or in kernels that differ between AVX2 and AVX-512.

Legend: n rows, T checkpoints, K clusters.
"""

import contextlib
from collections.abc import Iterator

import faiss
import numpy as np

_NEVER = 2**31 - 1  # more rows than faiss would ever hand to BLAS
_INIT_METHODS = {
    "random": faiss.ClusteringInitMethod_RANDOM,
    "kmeans++": faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
}


@contextlib.contextmanager
def reproducible_faiss() -> Iterator[None]:
    """Distances as plain sums of squared differences in AVX2, faiss's own global settings restored afterwards.

    Where there is no AVX2 (another processor, or FAISS_SIMD_LEVEL says so) the level stays as it is; `backend` names
    it. The number of threads is left alone: each row's distances and each centroid's sum are computed by one thread,
    in row order.
    """
    blas_threshold, simd_level = faiss.cvar.distance_compute_blas_threshold, faiss.SIMDConfig.get_level()
    beyond_avx2 = (faiss.SIMDLevel_AVX512, faiss.SIMDLevel_AVX512_SPR, faiss.SIMDLevel_AVX512_VPOPCNT)
    try:
        faiss.cvar.distance_compute_blas_threshold = _NEVER
        if simd_level in beyond_avx2 and faiss.SIMDConfig.is_simd_level_available(faiss.SIMDLevel_AVX2):
            faiss.SIMDConfig.set_level(faiss.SIMDLevel_AVX2)
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = blas_threshold
        faiss.SIMDConfig.set_level(simd_level)


def backend() -> dict[str, str]:
    """What computes the clusters, for the manifest."""
    with reproducible_faiss():
        return {"library": f"faiss {faiss.__version__}", "simd_level": faiss.SIMDConfig.get_level_name()}


def cluster_rows(
    losses_nT: np.ndarray,
    num_clusters: int,
    seed: int,
    iterations: int,
    init: str,
    num_restarts: int,
    max_points_per_centroid: int | None,
) -> np.ndarray:
    """Cluster rows by Euclidean distance; each row belongs to its nearest centroid, ties to the lowest centroid.

    At most `num_clusters` distinct rows are one cluster each, without k-means. Otherwise there may be fewer clusters
    than asked for (a centroid that ends without rows is none), never more.

    Args:
        losses_nT: float32 (n, T), finite, n >= 1.
        seed: any integer >= 0; faiss takes its low 31 bits.
        num_restarts: k-means runs this often and the tightest result counts.
        max_points_per_centroid: the centroids are fitted on a random sample of at most this many rows per cluster;
            None fits them on all rows. Every row is assigned in either case.

    Returns: int32 (n,), clusters numbered from 0 in the order of their lowest rows, hence not by faiss's numbering.
    """
    assert losses_nT.dtype == np.float32 and losses_nT.ndim == 2 and len(losses_nT) < _NEVER
    # Counting one checkpoint's distinct losses takes a hundredth of the time and nearly always settles it.
    if len(np.unique(losses_nT[:, 0])) <= num_clusters:
        distinct, label_n = np.unique(losses_nT, axis=0, return_inverse=True)
        if len(distinct) <= num_clusters:
            return _number_by_lowest_row(label_n)
    with reproducible_faiss():
        kmeans = faiss.Kmeans(
            losses_nT.shape[1],
            num_clusters,
            niter=iterations,
            nredo=num_restarts,
            init_method=_INIT_METHODS[init],
            seed=seed & 0x7FFFFFFF,
            max_points_per_centroid=min(max_points_per_centroid or _NEVER, len(losses_nT)),
            min_points_per_centroid=1,  # only silences a warning
        )
        kmeans.train(losses_nT)
        _, label_n = kmeans.assign(losses_nT)
    assert label_n.min() >= 0, "a row without a nearest centroid: its distances were not finite"
    return _number_by_lowest_row(label_n)


def _number_by_lowest_row(label_n: np.ndarray) -> np.ndarray:
    _, lowest_row_K, label_n = np.unique(label_n, return_index=True, return_inverse=True)
    number_K = np.empty(len(lowest_row_K), np.int32)
    number_K[np.argsort(lowest_row_K)] = np.arange(len(lowest_row_K), dtype=np.int32)
    return number_K[label_n]
