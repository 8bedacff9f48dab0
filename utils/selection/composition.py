"""What a subset consists of: per source for people (the table), down to the cluster for programs (composition.json).

Legend: N examples of the pool, S sources.
"""

from typing import Any

import numpy as np

from utils.data.pool import Pool
from utils.selection.candidates import Candidates
from utils.selection.numbered_rows import NumberedRows

_WIDTH = 100
_NAME_WIDTH = 42  # a longer name gets a line of its own
_NUM_SHOWN = 40  # sources in the table


def compose(
    pool: Pool | NumberedRows, candidates: Candidates, chosen_rows: np.ndarray, clusters_N: np.ndarray
) -> dict[str, Any]:
    """composition.json: totals, and per source (by name) its rows, shares (of 1) and clusters.

    `clusters` maps a cluster's number to [its members in this source, those of them chosen].
    """
    chosen_N = np.zeros(len(pool), bool)
    chosen_N[chosen_rows] = True
    pool_rows_S = np.bincount(pool.source_codes, minlength=len(pool.source_names)).tolist()
    sources = {}
    for name, pool_rows, rows in zip(pool.source_names, pool_rows_S, candidates.rows_by_source(), strict=True):
        chosen = int(chosen_N[rows].sum())
        clusters = _count_members(clusters_N[rows], chosen_N[rows])
        sources[name] = {
            "pool_rows": pool_rows,
            "selectable": len(rows),
            "chosen": chosen,
            "share_of_pool": pool_rows / len(pool),
            "share_of_subset": chosen / len(chosen_rows),
            "num_clusters": len(clusters),
            "clusters": clusters,
        }
    return {
        "pool_rows": len(pool),
        "selectable": len(candidates.rows),
        "chosen": len(chosen_rows),
        "num_clusters": int(clusters_N.max()) + 1,
        "sources": sources,
    }


def _count_members(cluster_m: np.ndarray, chosen_m: np.ndarray) -> dict[str, list[int]]:
    clustered_m = cluster_m >= 0
    if not clustered_m.all():
        cluster_m, chosen_m = cluster_m[clustered_m], chosen_m[clustered_m]
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


def table(composition: dict[str, Any]) -> str:
    """The composition for people, 100 columns wide; of many sources the largest, by name."""
    sources = composition["sources"]
    largest = sorted(sources, key=lambda name: -sources[name]["pool_rows"])[:_NUM_SHOWN]
    lines = [_line("source", "pool rows", "chosen", "% of pool", "% of subset", "clusters")]
    for name in sorted(largest):
        source = sources[name]
        shown = repr(name)[1:-1] or "(none)"  # a newline in a name must not break the table
        if len(shown) > _NAME_WIDTH:
            lines.append(shown if len(shown) <= _WIDTH else shown[: _WIDTH - 3] + "...")
            shown = ""
        lines.append(
            _line(
                shown,
                f"{source['pool_rows']:,}",
                f"{source['chosen']:,}",
                f"{100 * source['share_of_pool']:.1f}",
                f"{100 * source['share_of_subset']:.1f}",
                f"{source['num_clusters']:,}",
            )
        )
    if len(sources) > len(largest):
        lines.append(f"... and {len(sources) - len(largest):,} smaller sources, all in composition.json")
    totals = [f"{composition[key]:,}" for key in ("pool_rows", "chosen", "num_clusters")]
    lines.append(_line("total", totals[0], totals[1], "100.0", "100.0", totals[2]))
    return "\n".join(lines)


def _line(name: str, pool_rows: str, chosen: str, of_pool: str, of_subset: str, clusters: str) -> str:
    return f"{name:<{_NAME_WIDTH}} {pool_rows:>11} {chosen:>11} {of_pool:>10} {of_subset:>12} {clusters:>9}"
