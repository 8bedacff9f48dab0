"""What a subset consists of, and in what it differs from rows taken at random: composition.json.

Legend: N examples of the pool, n candidates, m some of them, S sources.
"""

import contextlib
import math
from typing import Any

import numpy as np

from ..artifacts.trajectories.read import Trajectories, read_num_response_tokens
from ..data.rows import Rows
from .candidates import Candidates

_ROWS_AT_ONCE = 2**20


def compose(
    pool: Rows, candidates: Candidates, chosen_rows: np.ndarray, clusters_N: np.ndarray
) -> dict[str, Any]:
    """composition.json: what the subset consists of.

    Totals, per source (by name) its rows, shares (of 1) and clusters, and `measures`:
    what the losses say of the chosen rows, and of as many rows at random of each source.
    `clusters` maps a cluster's number to [its members in this source, those of them chosen].
    """
    chosen_N = np.zeros(len(pool), bool)
    chosen_N[chosen_rows] = True
    pool_rows_S = np.bincount(pool.source_codes, minlength=len(pool.source_names)).tolist()
    sources = {}
    for name, pool_rows, rows in zip(
        pool.source_names, pool_rows_S, candidates.rows_by_source(), strict=True
    ):
        chosen = int(chosen_N[rows].sum())
        clusters = _count_members(clusters_N[rows], chosen_N[rows])
        sources[name] = {
            "pool_rows": pool_rows,
            "selectable": len(rows),
            "chosen": chosen,
            "share_of_pool": pool_rows / len(pool),
            "share_of_subset": chosen / len(chosen_rows),
            "share_chosen": chosen / pool_rows,
            "num_clusters": len(clusters),
            "clusters": clusters,
        }
    num_clusters = int(clusters_N.max()) + 1
    of_chosen = clusters_N[chosen_rows]
    taken_K = np.bincount(of_chosen[of_chosen >= 0], minlength=num_clusters)
    return {
        "pool_rows": len(pool),
        "selectable": len(candidates.rows),
        "chosen": len(chosen_rows),
        "num_clusters": num_clusters,
        "num_clusters_of_one_or_none": int((taken_K <= 1).sum()),
        "measures": measure(candidates, chosen_N),
        "sources": sources,
    }


def measure(candidates: Candidates, chosen_N: np.ndarray) -> dict[str, dict[str, float]]:
    """What a method chose beyond its sources: means over the chosen rows and over random ones.

    The random rows are as many of each source as are chosen.

    Returns:
        Name -> the mean over the `chosen` rows, the expected mean `at_random`, and its `standard_error` from
        draw to draw (stratified sampling without replacement: Cochran, 1977, Sampling Techniques, chapter 5).
    """
    if candidates.trajectories is None:
        return {}
    columns_N = _measured(candidates.trajectories)
    num_sources = len(candidates.source_names)
    num_S, taken_S = np.zeros((2, num_sources))
    # Of all rows, of their squares, of the chosen rows.
    sums = {name: np.zeros((3, num_sources)) for name in columns_N}
    for start in range(0, len(candidates.rows), _ROWS_AT_ONCE):
        rows_m = candidates.rows[start : start + _ROWS_AT_ONCE]
        code_m = candidates.source_codes_n[start : start + _ROWS_AT_ONCE]
        chosen_m = chosen_N[rows_m]
        num_S += np.bincount(code_m, minlength=num_sources)
        taken_S += np.bincount(code_m[chosen_m], minlength=num_sources)
        for name, (later_N, earlier_N) in columns_N.items():
            value_m = later_N[rows_m].astype(np.float64)
            if earlier_N is not None:
                value_m = earlier_N[rows_m].astype(np.float64) - value_m
            sums[name][0] += np.bincount(code_m, value_m, num_sources)
            sums[name][1] += np.bincount(code_m, value_m**2, num_sources)
            sums[name][2] += np.bincount(code_m[chosen_m], value_m[chosen_m], num_sources)
    measures = {}
    some_S = np.maximum(num_S, 1)
    total = float(taken_S.sum())
    for name, (sum_S, squares_S, chosen_S) in sums.items():
        mean_S = sum_S / some_S
        variance_S = np.maximum(squares_S - sum_S * mean_S, 0) / np.maximum(num_S - 1, 1)
        measures[name] = {
            "chosen": float(chosen_S.sum()) / total,
            "at_random": float((taken_S * mean_S).sum()) / total,
            "standard_error": math.sqrt(float((taken_S * variance_S * (1 - taken_S / some_S)).sum())) / total,
        }
    return measures


def _measured(trajectories: Trajectories) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Name -> the numbers (N,) that are averaged, or two columns of which the second minus the first is."""
    first_N = trajectories.columns[0]
    last_N = trajectories.columns[-1]
    measured: dict[str, tuple[np.ndarray, np.ndarray | None]] = {"last_loss": (last_N, None)}
    if len(trajectories.columns) > 1:
        measured |= {"first_loss": (first_N, None), "fall_of_loss": (last_N, first_N)}
    with contextlib.suppress(FileNotFoundError):  # losses made elsewhere need not say
        measured["response_tokens"] = (read_num_response_tokens(trajectories), None)
    return measured


def _count_members(cluster_m: np.ndarray, chosen_m: np.ndarray) -> dict[str, list[int]]:
    clustered_m = cluster_m >= 0
    if not clustered_m.all():
        cluster_m = cluster_m[clustered_m]
        chosen_m = chosen_m[clustered_m]
    if not len(cluster_m):
        return {}
    lowest = int(cluster_m.min())
    sizes = np.bincount(cluster_m - lowest)
    taken = np.bincount(cluster_m[chosen_m] - lowest, minlength=len(sizes)).tolist()
    return {
        str(lowest + place): [size, num_taken]
        for place, (size, num_taken) in enumerate(zip(sizes.tolist(), taken, strict=True))
        if size
    }
