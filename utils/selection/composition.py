"""What a subset consists of, and in what it differs from rows taken at random: composition.json.

Legend: N examples of the pool, n candidates, m some of them, S sources.
"""

import contextlib
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ..artifacts.trajectories.read import Trajectories, read_num_response_tokens
from ..data.rows import Rows
from .candidates import Candidates
from .groups import count_by_number

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
    num_sources = len(pool.source_names)
    counts = zip(
        pool.source_names,
        count_by_number(pool.source_codes, num_sources).tolist(),
        count_by_number(candidates.source_codes_n, num_sources).tolist(),
        count_by_number(pool.source_codes[chosen_rows], num_sources).tolist(),
        _count_members(pool, candidates.rows, chosen_rows, clusters_N),
        strict=True,
    )
    sources = {}
    for name, pool_rows, selectable, chosen, clusters in counts:
        sources[name] = {
            "pool_rows": pool_rows,
            "selectable": selectable,
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
    """How the chosen rows differ from random rows of the same sources: the mean of each measure.

    Returns:
        Name -> the mean over the `chosen` rows, the expected mean of as many rows of each source `at_random`,
        and its `standard_error` from draw to draw (stratified sampling without replacement: Cochran, 1977,
        Sampling Techniques, chapter 5).
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


def _count_members(
    pool: Rows, rows: np.ndarray, chosen_rows: np.ndarray, clusters_N: np.ndarray
) -> Iterator[dict[str, list[int]]]:
    """Per source: a cluster's number -> [its members in this source, those of them chosen]."""
    num_clusters = int(clusters_N.max()) + 1
    pair_P, size_P = _count_pairs(pool, rows, clusters_N, num_clusters)  # a source and a cluster of it
    chosen_pairs, num_chosen = _count_pairs(pool, chosen_rows, clusters_N, num_clusters)
    taken_P = np.zeros(len(pair_P), np.int64)
    taken_P[np.searchsorted(pair_P, chosen_pairs)] = num_chosen
    names = list(map(str, (pair_P % max(num_clusters, 1)).tolist()))
    members = np.stack([size_P, taken_P], axis=1).tolist()
    first_of_each = np.arange(len(pool.source_names) + 1) * num_clusters
    for start, stop in pairwise(np.searchsorted(pair_P, first_of_each).tolist()):
        yield dict(zip(names[start:stop], members[start:stop], strict=True))


def _count_pairs(
    pool: Rows, rows: np.ndarray, clusters_N: np.ndarray, num_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each pair of source and cluster that clustered rows have, as one number, ascending, and how many do."""
    pair_P = num_P = np.empty(0, np.int64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        rows_m = rows[start : start + _ROWS_AT_ONCE]
        rows_m = rows_m[clusters_N[rows_m] >= 0]
        pair_m = pool.source_codes[rows_m] * np.int64(num_clusters) + clusters_N[rows_m]
        pair_p, num_p = _counted(pair_m)
        pair_P, place = np.unique(np.concatenate([pair_P, pair_p]), return_inverse=True)
        num_P = np.bincount(place, np.concatenate([num_P, num_p])).astype(np.int64)
    return pair_P, num_P


def _counted(number_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct numbers, ascending, and how often each occurs."""
    if number_m.max(initial=0) > len(number_m):
        return np.unique(number_m, return_counts=True)
    counts = np.bincount(number_m)  # a tenth of the time of sorting
    distinct = np.flatnonzero(counts)
    return distinct, counts[distinct]
